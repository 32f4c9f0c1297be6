"""A run's whole journal as a caller may use it: decoded, with the values that are kept apart."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from interplay.core.flows.plan import Plan
from interplay.core.runs.events import Event, StepExpanded, decode_body, decode_value
from interplay.core.runs.values import blob_of_fact, with_value
from interplay.ports.blob_store import BlobStore
from interplay.ports.run_store import RunRecord, RunStore
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.recover_run import blob_of

_PAGE = 5000


class ReadHistory:
    def __init__(self, runs: RunStore, blobs: BlobStore, plans: PlanLoader) -> None:
        self._runs = runs
        self._blobs = blobs
        self._plans = plans

    async def events(self, project_id: int, run_id: UUID, *, values: bool = False) -> list[Event]:
        """All events so far. `values`: bring outputs that are kept apart, too."""
        events: list[Event] = []
        while True:
            after = events[-1].seq if events else 0
            page = await self._runs.events(project_id, run_id, after, _PAGE)
            events += [Event(e.seq, e.step_key, e.attempt, decode_body(e.kind, e.body)) for e in page]
            if len(page) < _PAGE:
                break
        return [await self._with_value(event) for event in events] if values else events

    async def _with_value(self, event: Event) -> Event:
        blob = blob_of_fact(event.body)
        if blob is None:
            return event
        value = decode_value(await self._blobs.get(blob.blob_id))
        return msgspec.structs.replace(event, body=with_value(event.body, value))

    async def plan(self, record: RunRecord) -> Plan:
        return await self._plans.load(record.flow_version)

    async def pinned(self, events: list[Event]) -> dict[str, Plan]:
        """The plans of the versions that `flow` steps of the run pinned."""
        versions = {e.body.version for e in events if isinstance(e.body, StepExpanded)}
        return {version: await self._plans.load(version) for version in versions}

    async def output(self, record: RunRecord) -> Any:
        """The run's output; None while there is none."""
        if record.output is None:
            return None
        value = decode_value(record.output)
        blob = blob_of(value)
        return decode_value(await self._blobs.get(blob.blob_id)) if blob is not None else value

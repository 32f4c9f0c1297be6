"""Forks a run from a step: what was before is kept, what follows runs again, with changes if wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from interplay.core.flows.types import check_inputs
from interplay.core.runs.events import Event, RunStarted, decode_value, encode_body, encode_value
from interplay.core.runs.forking import ForkPlan, plan_fork
from interplay.core.runs.values import blob_of_fact
from interplay.ports.event_bus import EventBus
from interplay.ports.flow_store import FlowStore
from interplay.ports.run_store import CreatedRun, NewRun, RunRecord, RunStore
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.read_history import ReadHistory


@dataclass(frozen=True, slots=True)
class ForkRequest:
    """`inputs` replace the run's own by name. `version`: another version of the run's flow, or a beginning of
    one (a changed prompt or model is a new version). `idempotency_key` and `key_id` as for any run."""

    run_id: UUID
    from_step: str
    inputs: dict[str, Any] | None = None
    version: str | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None
    key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ForkedRun:
    """`created` is None for a preview."""

    plan: ForkPlan
    created: CreatedRun | None


class ForkRun:
    def __init__(
        self,
        runs: RunStore,
        flows: FlowStore,
        history: ReadHistory,
        plans: PlanLoader,
        bus: EventBus,
        new_id: Callable[[], UUID],
    ) -> None:
        self._runs = runs
        self._flows = flows
        self._history = history
        self._plans = plans
        self._bus = bus
        self._new_id = new_id

    async def preview(self, project_id: int, request: ForkRequest) -> ForkedRun:
        """What would run again, and what that cost and took the last time. Changes nothing."""
        fork, _ = await self._prepare(project_id, request)
        return ForkedRun(fork, None)

    async def run(self, project_id: int, request: ForkRequest) -> ForkedRun:
        """Raises NotFound (run, step, version) and InvalidRunInputs."""
        fork, new = await self._prepare(project_id, request)
        created = (await self._runs.create([new]))[0]
        self._bus.publish(f"queue.{new.queue}", {"run": str(created.run_id)})
        return ForkedRun(fork, created)

    async def _prepare(self, project_id: int, request: ForkRequest) -> tuple[ForkPlan, NewRun]:
        record = await self._runs.get(project_id, request.run_id)
        events = await self._history.events(project_id, request.run_id)
        old = await self._history.plan(record)
        version = await self._version(project_id, record, request.version)
        new = await self._plans.load(version)
        before = decode_value(record.input) if record.input else {}
        lasting = {name: value for name, value in before.items() if name in new.flow.inputs}
        inputs = check_inputs(new.flow, {**lasting, **(request.inputs or {})})
        pinned = await self._history.pinned(events)
        fork = plan_fork(old, new, events, request.from_step, (before, inputs), pinned)
        run_id = self._new_id()
        kept, blobs = _owned(fork.journal, run_id)
        started = RunStarted((run_id.int >> 80) / 1000.0, str(request.run_id))  # an id's first 48 bits are its time
        journal = (
            (int(started.kind), None, 0, encode_body(started)),
            *((int(e.body.kind), e.step_key, e.attempt, encode_body(e.body)) for e in kept),
        )
        return fork, NewRun(
            run_id=run_id,
            project_id=project_id,
            flow_name=record.flow_name,
            flow_version=version,
            input=encode_value(inputs),
            deadline=new.deadline,
            idempotency_key=request.idempotency_key,
            request_digest=request.request_digest,
            forked_from=request.run_id,
            journal=journal,
            labels=record.labels,
            blobs=blobs,
            key_id=request.key_id,
        )

    async def _version(self, project_id: int, record: RunRecord, wanted: str | None) -> str:
        """The version that was asked for, if it is one of the run's own flow in this project."""
        if wanted is None:
            return record.flow_version
        return (await self._flows.get(project_id, wanted, record.flow_name)).version


def _owned(events: list[Event], run_id: UUID) -> tuple[list[Event], tuple[tuple[str, str], ...]]:
    """The events with large values of the new run's own, and which value becomes which: the old run's are forgotten
    with it."""
    owned, copies = [], {}
    for event in events:
        blob = blob_of_fact(event.body)
        if blob is not None:
            own = msgspec.structs.replace(blob, blob_id=f"{run_id}:{blob.blob_id.partition(':')[2]}")
            copies[blob.blob_id] = own.blob_id
            event = msgspec.structs.replace(event, body=msgspec.structs.replace(event.body, blob=own))
        owned.append(event)
    return owned, tuple(copies.items())

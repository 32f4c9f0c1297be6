"""From a claimed run to its machine: fold what the journal holds, with the values that are kept apart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from interplay.core.flows.plan import Plan
from interplay.core.runs.compaction import unpack
from interplay.core.runs.events import (
    BlobRef,
    Event,
    StepExpanded,
    decode_body,
    decode_value,
)
from interplay.core.runs.machine import RunMachine
from interplay.core.runs.signals import Signal
from interplay.core.runs.values import blob_of_fact, with_value
from interplay.ports.blob_store import BlobStore
from interplay.ports.run_queue import ClaimedRun, History, RunQueue
from interplay.use_cases.load_plan import PlanLoader


@dataclass(slots=True)
class RecoveredRun:
    """`seq` is the last event of the journal; `events` how many there are since the last snapshot."""

    machine: RunMachine
    seq: int
    events: int
    signals: tuple[Signal, ...]


class RecoverRun:
    def __init__(self, queue: RunQueue, blobs: BlobStore, plans: PlanLoader) -> None:
        self._queue = queue
        self._blobs = blobs
        self._plans = plans

    async def read(self, runs: Sequence[ClaimedRun]) -> tuple[Mapping[UUID, History], Mapping[UUID, Sequence[Signal]]]:
        """The histories of those that have one, and the signals of those that were signalled."""
        begun = [run for run in runs if run.seq > 0 or run.takeovers > 0]
        signalled = [run.run_id for run in runs if run.sig > 0]
        histories = await self._queue.history(begun) if begun else {}
        signals = await self._queue.signals(signalled) if signalled else {}
        return histories, signals

    async def fold(self, run: ClaimedRun, history: History | None, signals: Sequence[Signal]) -> RecoveredRun:
        """Raises NotFound for a flow version that is gone, msgspec.DecodeError for a broken journal."""
        plan = self._plans.kept(run.flow_version) or await self._plans.load(run.flow_version)
        machine = RunMachine(plan, str(run.run_id), decode_value(run.input), run.deadline_at)
        events = _events(history) if history is not None else []
        if events:
            await self._bring(machine, events)
            events = [await self._with_value(event) for event in events]
            for event in events:
                machine.apply(event)
        machine.deliver(signals)
        last = max([run.seq, *(event.seq for event in events)])
        fresh = len(history.events) if history is not None else 0
        return RecoveredRun(machine, last, fresh, tuple(signals))

    async def _bring(self, machine: RunMachine, events: list[Event]) -> None:
        versions = {event.body.version for event in events if isinstance(event.body, StepExpanded)}
        plans: list[Plan] = await asyncio.gather(*(self._plans.load(version) for version in versions))
        machine.plans.update((plan.version, plan) for plan in plans)

    async def _with_value(self, event: Event) -> Event:
        blob = blob_of_fact(event.body)
        if blob is None:
            return event
        value = decode_value(await self._blobs.get(blob.blob_id))
        return msgspec.structs.replace(event, body=with_value(event.body, value))


def _events(history: History) -> list[Event]:
    known = unpack(history.snapshot.body) if history.snapshot is not None else []
    since = [
        Event(stored.seq, stored.step_key, stored.attempt, decode_body(stored.kind, stored.body))
        for stored in history.events
        if history.snapshot is None or stored.seq > history.snapshot.seq
    ]
    return known + since


def blob_of(value: object) -> BlobRef | None:
    """The reference in a run's stored output, where that was too large to be kept with the run."""
    if isinstance(value, dict) and set(value) == {"$blob"}:
        return msgspec.convert(value["$blob"], BlobRef)
    return None

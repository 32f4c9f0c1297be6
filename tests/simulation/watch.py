"""The invariants of durable runs, looked at after every statement of a simulation, and once more at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from interplay.adapters.memory.event_log import MemoryEventLog
from interplay.adapters.memory.ledger import MemoryLedger, RunRow
from interplay.core.flows.plan import Plan, SubflowPlan
from interplay.core.runs.events import (
    Body,
    EventKind,
    StepExpanded,
    decode_value,
    encode_value,
)
from interplay.core.runs.log import LoggedEvent
from interplay.core.runs.replaying import replay
from interplay.core.runs.signals import Signal
from interplay.core.runs.state import StepState
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import History
from interplay.use_cases.recover_run import _events
from tests.pure_run import PureRun
from tests.simulation.flows import LIMITS, WorldCall, answer

_SETTLED = (EventKind.STEP_SUCCEEDED, EventKind.STEP_FAILED, EventKind.STEP_SKIPPED, EventKind.STEP_CANCELLED)
EPOCH: Final = 1_700_000_000.0  # of every simulation
HEARS: Final = 2.0  # seconds beyond a lease within which the owner of a run has heard of a cancel


@dataclass(frozen=True, slots=True)
class _Seen:
    status: RunStatus
    fence: int
    worker_id: UUID | None
    events: int


class Watch:
    """`broken` has what did not hold, in words that begin with the invariant's number."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._seen: dict[UUID, _Seen] = {}
        self.broken: list[str] = []

    def say(self, words: str) -> None:
        self.broken.append(words)

    def look(self) -> None:
        """What one statement did to runs."""
        for run_id, row in self._ledger.runs.items():
            before = self._seen.get(run_id)
            now = _Seen(row.status, row.fence, row.worker_id, len(row.journal))
            if before == now:
                continue
            self._seen[run_id] = now
            if before is not None:
                self._moved(str(run_id)[-6:], row, before)
        for (project_id, key), holders in self._ledger.slots.items():
            if key in LIMITS and len(holders) > LIMITS[key]:
                self.say(f"I14 {len(holders)} hold key {key} of project {project_id}")

    def _moved(self, name: str, row: RunRow, before: _Seen) -> None:
        if before.status.ended and before.status is not RunStatus.DEAD:
            self.say(f"I4 run {name} changed after its end, {before.status.name}")
        if row.fence < before.fence:
            self.say(f"I3 the fence of run {name} fell from {before.fence} to {row.fence}")
        if row.status is RunStatus.RUNNING:
            if before.status is RunStatus.RUNNING and row.worker_id != before.worker_id:
                self.say(f"I6 run {name} went from one worker to another by itself")
            if before.status is not RunStatus.RUNNING and row.fence <= before.fence:
                self.say(f"I6 run {name} was given out twice under fence {row.fence}")
        for place, event in enumerate(row.journal[before.events :], before.events + 1):
            if event.seq != place:
                self.say(f"I4 event {event.seq} of run {name} stands at place {place}")
            held = before.status is RunStatus.RUNNING and event.fence == before.fence
            by_the_ledger = event.step_key is None and event.fence == row.fence
            if not held and not by_the_ledger:
                self.say(f"I6 event {place} of run {name} was written by somebody who did not hold it")

    def published(self, event: LoggedEvent) -> None:
        row = self._ledger.runs.get(event.run_id)
        if row is None or len(row.journal) < event.seq:
            self.say(f"I4 event {event.seq} of run {str(event.run_id)[-6:]} was published before it was committed")

    # ------------------------------------------------------------------ at the end

    def log(self, log: WatchedLog) -> None:
        """Whoever drops what it has had gets each event of each run once, in order."""
        had: dict[UUID, int] = {}
        for event in log.events:
            if event.seq == had.get(event.run_id, 0) + 1:
                had[event.run_id] = event.seq
            elif event.seq > had.get(event.run_id, 0):
                self.say(f"I8 event {event.seq} of run {str(event.run_id)[-6:]} came before what it follows")
        for run_id, row in self._ledger.runs.items():
            if had.get(run_id, 0) != len(row.journal):
                self.say(
                    f"I8 of run {str(run_id)[-6:]} {had.get(run_id, 0)} of {len(row.journal)} events were published"
                )

    def history(self, run_id: UUID, row: RunRow) -> None:
        """What the journal of an ended run says."""
        name, kinds = str(run_id)[-6:], [EventKind(event.kind) for event in row.journal]
        settled = Counter(event.step_key for event in row.journal if EventKind(event.kind) in _SETTLED)
        for key, times in settled.items():
            if times > 1:
                self.say(f"I2 step {key} of run {name} has settled {times} times")
        fences = [event.fence for event in row.journal]
        if fences != sorted(fences):
            self.say(f"I3 the fences of run {name} decrease")
        ends = [place for place, kind in enumerate(kinds, 1) if kind.terminal]
        if ends != [len(kinds)] or row.seq != len(kinds):
            self.say(f"I4 run {name} of {len(kinds)} events, {row.seq} counted, has its ends at {ends}")

    def calls(self, calls: list[WorldCall], bound: float) -> None:
        by_key: dict[tuple[UUID, str], list[WorldCall]] = {}
        for call in calls:
            by_key.setdefault((call.run_id, call.key), []).append(call)
        for (run_id, key), made in by_key.items():
            row = self._ledger.runs[run_id]
            attempts = max((e.attempt for e in row.journal if e.step_key == key), default=1)
            most = attempts if made[0].effect == "fail" else attempts + row.fence - 1
            if len(made) > most:
                self.say(f"I5 {key} of run {str(run_id)[-6:]} was called {len(made)} times, {most} explained")
            for place, later in enumerate(made):
                for earlier in made[:place]:
                    ends = [call.ended if call.ended is not None else call.began for call in (earlier, later)]
                    if min(ends) - later.began > bound:
                        self.say(f"I6 {key} of run {str(run_id)[-6:]} was called twice at once for more than {bound} s")
            for call in made:
                if row.cancel_at is not None and call.began > row.cancel_at - EPOCH + bound:
                    self.say(f"I9 {key} of run {str(run_id)[-6:]} began long after it was cancelled")

    def outcome(self, run_id: UUID, row: RunRow, plans: dict[str, Plan]) -> None:
        """I7: the output is that of the same run without a database and without faults; and its tape gives it again."""
        name, plan = str(run_id)[-6:], plans[row.new.flow_version]
        output = decode_value(row.output) if row.output is not None else None
        events = _events(History(None, tuple(row.journal)))
        pinned = {e.body.version: plans[e.body.version] for e in events if isinstance(e.body, StepExpanded)}
        inputs = decode_value(row.new.input)
        report = replay(plan, pinned, str(run_id), inputs, events, output)
        if not report.equal:
            self.say(f"I7 the tape of run {name} ends otherwise: {report.differences}")
        if row.new.flow_name != "once" and encode_value(output) != encode_value(
            _pure(plan, plans, inputs, row.signals)
        ):
            self.say(f"I7 run {name} of {row.new.flow_name} has another output than without faults: {output}")


class WatchedLog(MemoryEventLog):
    """The event log. Nothing comes into it that the ledger does not have."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        for event in events:
            self._watch.published(event)
        await super().publish(events)


class _Pure(PureRun):
    """A `flow` step without a version takes the one that there is."""

    def _answer(self, step: StepState) -> Body:
        if isinstance(step.plan.composite, SubflowPlan):
            name = step.plan.composite.name
            return StepExpanded(next(plan.version for plan in self.plans.values() if plan.flow.name == name))
        return super()._answer(step)


def _pure(plan: Plan, plans: dict[str, Plan], inputs: dict[str, Any], signals: list[Signal]) -> Any:
    pure = _Pure(plan, inputs, answer, plans)
    for signal in signals:
        pure.send(signal)
    return pure.run().output

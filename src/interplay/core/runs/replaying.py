"""Exact replay: the run again from its tape. Nothing outside is called; what is computed is computed anew.

Leaf steps that reached outside, waits and decisions take their results from the journal. `set` steps,
conditions, the composing kinds and the output are computed again and compared byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interplay.core.failures import StepFailure
from interplay.core.flows.plan import Plan
from interplay.core.runs.events import (
    Body,
    Event,
    EventKind,
    RunCancelled,
    RunFailed,
    RunStarted,
    StepCancelled,
    StepExpanded,
    StepFailed,
    StepSucceeded,
    encode_body,
    encode_value,
)
from interplay.core.runs.machine import RunMachine
from interplay.core.runs.retrying import settled_failure
from interplay.core.runs.state import StepState

_SETTLED = frozenset(
    {EventKind.STEP_SUCCEEDED, EventKind.STEP_FAILED, EventKind.STEP_CANCELLED, EventKind.STEP_SKIPPED}
)
_OUTSIDE = frozenset({"deadline_exceeded", "output_too_large"})  # ends that lie outside the steps


def _by_time(body: Body) -> bool:
    """What the clock or another store decided about a composing step: taken from the tape, too."""
    if isinstance(body, StepFailed):
        return body.failure.code == "timeout"
    return isinstance(body, StepExpanded) or (isinstance(body, StepSucceeded) and body.via == "default")


def _from_outside(end: Body) -> bool:
    """An end that no step brought about."""
    return isinstance(end, RunCancelled) or (isinstance(end, RunFailed) and end.failure.code in _OUTSIDE)


def _end_of_steps(events: list[Event]) -> int:
    """Where the steps end that were cancelled together with the run."""
    end = len(events) - 1
    while end > 0 and isinstance(events[end - 1].body, StepCancelled):
        end -= 1
    return end


@dataclass(slots=True)
class ReplayReport:
    """`equal`: the same end and the same bytes of output. `steps` is how many came from the tape."""

    equal: bool = True
    steps: int = 0
    computed: int = 0
    output: Any = None
    differences: list[str] = field(default_factory=list)

    def differ(self, sentence: str) -> None:
        self.equal = False
        self.differences.append(sentence)


def replay(
    plan: Plan,
    plans: Mapping[str, Plan],
    run_id: str,
    inputs: Mapping[str, Any],
    events: Iterable[Event],
    recorded_output: Any,
) -> ReplayReport:
    """`plans` holds the versions that `flow` steps pinned. `events` is the whole journal, values included."""
    return _Replay(plan, plans, run_id, inputs, list(events)).run(recorded_output)


class _Replay:
    def __init__(
        self,
        plan: Plan,
        plans: Mapping[str, Plan],
        run_id: str,
        inputs: Mapping[str, Any],
        events: list[Event],
    ) -> None:
        self.machine = RunMachine(plan, run_id, inputs)
        self.machine.plans.update(plans)
        self.events = events
        self.report = ReplayReport()
        self.recorded = {e.step_key: e for e in events if e.step_key is not None and e.body.kind in _SETTLED}
        self.due: dict[str, StepState] = {}

    def run(self, recorded_output: Any) -> ReplayReport:
        """The tape gives the order in which things came from outside; in between the machine decides."""
        machine, last = self.machine, self.events[-1] if self.events else None
        end = _end_of_steps(self.events) if last is not None and _from_outside(last.body) else len(self.events)
        for event in self.events[:end]:
            if isinstance(event.body, RunStarted):
                machine.begin(event.body.started_at)
                self._decide()
            elif event.step_key is not None:
                self._from_tape(event.step_key, event)
        for event in self.events[end:]:  # one decision with the end: nothing started in between
            if event.step_key is not None:
                self._told(event.step_key, event)
        if last is not None and isinstance(last.body, RunCancelled):
            machine.cancel(last.body.reason)
        elif last is not None and isinstance(last.body, RunFailed) and _from_outside(last.body):
            machine.fail_run(last.body.failure)
        self._compare_end(last, recorded_output)
        return self.report

    def _decide(self) -> None:
        for step in self.machine.decide(self.machine.time):
            self.due[step.key] = step
        self._compare_computed()

    def _from_tape(self, key: str, event: Event) -> None:
        body = event.body
        step = self.due.get(key)
        if step is not None and step.plan.kind == "set":
            if body.kind in _SETTLED:
                del self.due[key]
                self._compute(step, body)
                self._decide()
            return
        derived = self.machine.steps.get(key)
        if derived is not None and derived.plan.composite is not None and not _by_time(body):
            return  # computed anew
        if isinstance(body, StepCancelled) and derived is None:
            return
        self._told(key, event)
        self._decide()

    def _told(self, key: str, event: Event) -> None:
        if event.body.kind in _SETTLED:
            self.due.pop(key, None)
            self.report.steps += 1
        self.machine.apply_fact(key, event.attempt, event.body)

    def _compute(self, step: StepState, recorded: Body) -> None:
        self.report.computed += 1
        started = getattr(recorded, "started_at", self.machine.time)
        fresh: Body
        try:
            fresh = StepSucceeded(step.plan.values["value"].evaluate(step.scope.names), started, 0.0)
        except StepFailure as failed:
            fresh = settled_failure(step, failed.failure, (started, 0.0))
        before = encode_value(getattr(recorded, "output", None))
        if fresh.kind is not recorded.kind or before != encode_value(getattr(fresh, "output", None)):
            self.report.differ(f"{step.key}: computed again, it is not what was recorded.")
        self.machine.apply_fact(step.key, 1, recorded)

    def _compare_computed(self) -> None:
        """What the machine concluded by itself against what the journal says."""
        for key, _, body in self.machine.outbox:
            if key is None or not isinstance(body, StepSucceeded):
                continue
            recorded = self.recorded.get(key)
            if recorded is None or not isinstance(recorded.body, StepSucceeded):
                if recorded is not None or self.machine.ended is not None:
                    self.report.differ(f"{key}: succeeds now, and did not in the recorded run.")
            elif encode_value(body.output) != encode_value(recorded.body.output):
                self.report.differ(f"{key}: its result is not what was recorded.")
        self.machine.outbox.clear()

    def _compare_end(self, last: Event | None, recorded_output: Any) -> None:
        ended = self.machine.ended
        self.report.output = self.machine.output
        if last is None or not last.body.kind.terminal:
            self.report.differ("The recorded run has not ended, so there is nothing to compare with.")
            return
        if ended is None or ended.kind is not last.body.kind:
            was = ended.kind.wire_name if ended is not None else "no end"
            self.report.differ(f"The run ends with {was}, and was recorded as {last.body.kind.wire_name}.")
        elif isinstance(ended, RunFailed) and encode_body(ended) != encode_body(last.body):
            self.report.differ("The run fails for another reason than was recorded.")
        elif encode_value(self.machine.output) != encode_value(recorded_output):
            self.report.differ("The output is not the bytes that were recorded.")

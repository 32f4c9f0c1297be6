"""A run as a state machine: a pure fold over its journal, and what to do next.

`apply` takes one journaled fact and changes the state. `decide` looks at what changed and gives the
leaf steps to start; the facts that follow from the state alone (a skip, the end of a map, the end of
the run) it applies at once and leaves in `outbox` to be journaled. `apply` never derives facts, so the
journal has the last word: a fold after a crash ends in the state that was committed, even where a
newer release would decide otherwise.

No I/O, no clock: the time of now is an argument, everything else comes from the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from interplay.core.failures import OVERDUE, Failure, StepFailure
from interplay.core.flows.plan import Evaluable, Plan, ScopePlan, StepPlan
from interplay.core.models.usage import Usage
from interplay.core.runs import composites, waits
from interplay.core.runs.events import (
    Body,
    Event,
    EventKind,
    RunCancelled,
    RunFailed,
    RunStarted,
    RunSucceeded,
    StepCancelled,
    StepExpanded,
    StepFailed,
    StepIntended,
    StepProgressed,
    StepRetrying,
    StepSkipped,
    StepSucceeded,
    StepWaiting,
)
from interplay.core.runs.joins import accepts_absence, judge
from interplay.core.runs.retrying import settled_failure
from interplay.core.runs.signals import Signal
from interplay.core.runs.state import Composite, ScopeNames, ScopeState, StepState
from interplay.core.runs.status import StepStatus

Record = tuple[str | None, int, Body]  # step key, attempt, fact

LONGEST_KEY = 1024  # characters of a step's path: the ledger finds waiting steps by it
_WITH_VALUE = frozenset({EventKind.STEP_SUCCEEDED, EventKind.STEP_PROGRESSED, EventKind.STEP_WAITING})
_WAITING_KINDS = frozenset({"approve", "wait"})


class RunMachine:
    """One run of one plan.

    `plans` gives the plan of a version for `flow` steps; the executor fills it before the fact that
    names the version is applied. `deadline_at` is in seconds since the epoch.
    """

    def __init__(self, plan: Plan, run_id: str, inputs: Mapping[str, Any], deadline_at: float | None = None) -> None:
        self.plan = plan
        self.run_id = run_id
        self.inputs = dict(inputs)
        self.deadline_at = deadline_at
        self.plans: dict[str, Plan] = {}
        self.started_at: float | None = None
        self.time = 0.0  # the latest time that the journal tells
        self.root: ScopeState | None = None
        self.steps: dict[str, StepState] = {}
        self.ended: Body | None = None
        self.output: Any = None
        self.outbox: list[Record] = []
        self.aborts: list[StepState] = []
        self.signals: dict[str, list[Signal]] = {}
        self.consumed: set[str] = set()
        self.waiting: dict[str, StepState] = {}
        self.running: set[StepState] = set()
        self._dirty: deque[StepState] = deque()
        self._count = 0
        self._too_long: str | None = None  # the first key that no ledger can keep

    # ------------------------------------------------------------------ the fold

    def apply(self, event: Event) -> None:
        """One journaled fact. The same fact twice changes nothing the second time."""
        self.apply_fact(event.step_key, event.attempt, event.body)

    def apply_fact(self, key: str | None, attempt: int, body: Body) -> None:
        if key is None:
            self._apply_to_run(body)
            return
        step = self.steps.get(key) or composites.reach(self, key)
        if step is None or step.status.settled:
            return
        _APPLY[body.kind](self, step, attempt, body)

    def _apply_to_run(self, body: Body) -> None:
        if isinstance(body, RunStarted):
            if self.started_at is None:
                self.started_at = self.time = body.started_at
                run = {"id": self.run_id, "started_at": body.started_at}
                names = ScopeNames(None, {"inputs": self.inputs, "run": run})
                self.root = self.open_scope(self.plan.root, "", names, None)
        elif body.kind.terminal:
            self.ended = body
            self.running.clear()
            self.waiting.clear()

    def _succeeded(self, step: StepState, attempt: int, body: StepSucceeded) -> None:
        step.output, step.blob, step.via, step.attempt = body.output, body.blob, body.via, attempt
        step.started_at = step.started_at or body.started_at
        self._take_note(body.started_at + body.seconds)
        if body.detail is not None:
            self.consumed.update(body.detail.get("signals", ()))
        step.scope.names[step.plan.id] = body.output
        self._settle(step, StepStatus.SUCCEEDED, body.usage)

    def _retrying(self, step: StepState, attempt: int, body: StepRetrying) -> None:
        step.attempt, step.next_at, step.failure = attempt + 1, body.next_at, body.failure
        step.started_at = step.started_at or body.started_at
        step.status, step.in_flight, step.intended = StepStatus.RUNNING, False, None
        self._take_note(body.started_at + body.seconds)
        if body.usage is not None:
            self._spend(step, body.usage)
        self.running.discard(step)
        self.waiting[step.key] = step

    def _failed(self, step: StepState, attempt: int, body: StepFailed) -> None:
        step.failure, step.attempt = body.failure, attempt
        step.tolerated = body.tolerated or self._dependents_accept(step)
        self._take_note(body.started_at + body.seconds)
        if not step.tolerated and step.scope.failed is None:
            step.scope.failed = step
        self._settle(step, StepStatus.FAILED, body.usage)

    def _skipped(self, step: StepState, _attempt: int, _body: StepSkipped) -> None:
        self._settle(step, StepStatus.SKIPPED, None)

    def _cancelled(self, step: StepState, _attempt: int, _body: StepCancelled) -> None:
        self._settle(step, StepStatus.CANCELLED, None)

    def _waiting(self, step: StepState, _attempt: int, body: StepWaiting) -> None:
        step.wait, step.status, step.started_at = body, StepStatus.RUNNING, body.started_at
        self.running.discard(step)
        self.waiting[step.key] = step
        self._dirty.append(step)

    def _progressed(self, step: StepState, _attempt: int, body: StepProgressed) -> None:
        self.open(step)
        composites.loop_progressed(self, step, body)

    def _expanded(self, step: StepState, _attempt: int, body: StepExpanded) -> None:
        step.status = StepStatus.RUNNING
        step.in_flight = False
        self.running.discard(step)
        composites.expand(self, step, self.plans[body.version])

    def _intended(self, step: StepState, _attempt: int, body: StepIntended) -> None:
        step.intended, step.started_at = body, step.started_at or body.started_at

    def _settle(self, step: StepState, status: StepStatus, usage: Usage | None) -> None:
        step.status, step.in_flight, step.wait, step.next_at = status, False, None, None
        self.running.discard(step)
        self.waiting.pop(step.key, None)
        if usage is not None:
            self._spend(step, usage)
        scope = step.scope
        scope.unsettled -= 1
        if step.inner is not None:
            for inner in list(step.inner.open.values()):
                self.close_scope(inner)
        for dependent in scope.plan.dependents.get(step.plan.id, ()):
            self._dirty.append(scope.steps[dependent])
        if scope.owner is not None:
            composites.inner_settled(scope, step)
            self._dirty.append(scope.owner)

    def _spend(self, step: StepState, usage: Usage) -> None:
        spender: StepState | None = step
        while spender is not None:
            spender.usage = usage if spender.usage is None else spender.usage + usage
            spender = spender.scope.owner

    def _take_note(self, moment: float) -> None:
        if moment > self.time:
            self.time = moment

    def _dependents_accept(self, step: StepState) -> bool:
        dependents = step.scope.plan.dependents.get(step.plan.id, ())
        return bool(dependents) and all(accepts_absence(step.scope.steps[d].plan, step.plan.id) for d in dependents)

    # ------------------------------------------------------------------ scopes

    def open_scope(
        self, plan: ScopePlan, prefix: str, names: ScopeNames, owner: StepState | None, index: int = 0
    ) -> ScopeState:
        """Brings the steps of a scope to life, all pending."""
        scope = ScopeState(plan, prefix, names, owner, index, {}, len(plan.steps))
        stream = owner is not None and owner.stream
        for step_id, step_plan in plan.steps.items():
            step = self.add_step(scope, step_plan, step_id, stream)
            if not step_plan.needs:
                self._dirty.append(step)  # the others are looked at when what they need settles
        return scope

    def add_step(self, scope: ScopeState, plan: StepPlan, step_id: str, stream: bool) -> StepState:
        key = scope.prefix + step_id
        step = StepState(plan, key, scope, stream or plan.policy.stream)
        scope.steps[step_id] = self.steps[key] = step
        self._count += 1
        if len(key) > LONGEST_KEY:
            self._too_long = self._too_long or key
        return step

    def close_scope(self, scope: ScopeState) -> None:
        """Nothing in a closed scope starts any more; what runs in it is aborted by `cancel_scope`."""
        scope.closed = True
        for step in scope.steps.values():
            self.waiting.pop(step.key, None)
            if step.inner is not None:
                for inner in step.inner.open.values():
                    self.close_scope(inner)

    def cancel_scope(self, scope: ScopeState, reason: str) -> None:
        """Cancels what has not settled: running leaves are aborted, and the journal says so."""
        for step in scope.steps.values():
            self.cancel_step(step, reason)
        scope.closed = True

    def cancel_step(self, step: StepState, reason: str) -> None:
        if step.status.settled:
            return
        for inner in list(step.inner.open.values()) if step.inner else ():
            self.cancel_scope(inner, reason)
        if step.in_flight:
            return  # its result is being committed: it came first
        if step in self.running:
            self.aborts.append(step)
        if step.status is StepStatus.RUNNING:
            self.record(step, StepCancelled(reason))

    def mark(self, step: StepState) -> None:
        """Have `decide` look at this step again."""
        self._dirty.append(step)

    # ------------------------------------------------------------------ decisions

    def begin(self, now: float, forked_from: str | None = None) -> None:
        """The first fact of a run."""
        if self.started_at is None:
            self._record_run(RunStarted(now, forked_from))

    def record(self, step: StepState, body: Body) -> None:
        """A fact that follows from the state: applied at once, journaled with the next commit."""
        self.outbox.append((step.key, step.attempt, body))
        self.apply_fact(step.key, step.attempt, body)

    def _record_run(self, body: Body) -> None:
        self.outbox.append((None, 0, body))
        self._apply_to_run(body)

    def decide(self, now: float) -> list[StepState]:
        """What follows from the state now; gives the leaf steps to start, marked as running."""
        starts: list[StepState] = []
        while self._dirty and self.ended is None:
            step = self._dirty.popleft()
            if not step.scope.closed:
                self._look_at(step, now, starts)
            if self._count > self.plan.max_steps:
                self._too_many_steps()
            elif self._too_long is not None:
                self._too_deep(self._too_long)
        if self.ended is None and self.root is not None and not self._dirty:
            self._look_at_run(now)
        return [] if self.ended is not None else [s for s in starts if s.status is StepStatus.RUNNING]

    def _look_at(self, step: StepState, now: float, starts: list[StepState]) -> None:
        if step.status is StepStatus.PENDING:
            self._try_to_start(step, now, starts)
        elif step.status is StepStatus.RUNNING:
            if step.wait is not None:
                waits.look_at(self, step, now)
            elif step.inner is not None:
                composites.look_at(self, step, now)

    def _try_to_start(self, step: StepState, now: float, starts: list[StepState]) -> None:
        if step.scope.owner is not None and not composites.may_start(step):
            return
        plan, siblings = step.plan, step.scope.steps
        verdict, because = judge(plan, [siblings[need] for need in plan.needs])
        if verdict == "wait":
            return
        if verdict == "skip":
            self.record(step, StepSkipped("needs", because))
        elif verdict == "fail":
            code = "no_quorum" if plan.policy.join.mode == "quorum" else "all_failed"
            self.fail(step, Failure(code, f"Not enough of what it waits for succeeded; {because} failed."), now)
        elif plan.when is None or self._when(step, plan.when, now):
            if plan.policy.join.mode == "first":
                self._cancel_overtaken(step)
            self._start(step, now, starts)

    def _when(self, step: StepState, condition: Evaluable, now: float) -> bool:
        try:
            wanted = condition.evaluate(step.scope.names)
        except StepFailure as refused:
            self.fail(step, refused.failure, now)
            return False
        if wanted is not True:
            self.record(step, StepSkipped("when"))
        return wanted is True

    def _cancel_overtaken(self, step: StepState) -> None:
        for need in step.plan.needs:
            other = step.scope.steps[need]
            needed = step.scope.plan.dependents.get(need, ())
            if not other.status.settled and set(needed) <= {step.plan.id}:
                if other.status is StepStatus.PENDING:
                    self.record(other, StepCancelled(f"{step.plan.id} took the first that succeeded"))
                else:
                    self.cancel_step(other, f"{step.plan.id} took the first that succeeded")

    def _start(self, step: StepState, now: float, starts: list[StepState]) -> None:
        step.status = StepStatus.RUNNING
        if step.intended is not None:
            waits.after_lost_effect(self, step, now, starts)
        elif step.plan.kind in _WAITING_KINDS:
            waits.begin(self, step, now)
        elif step.plan.composite is not None and step.plan.kind != "flow":
            self._open(step, now)
        else:
            self.start_leaf(step, starts)

    def start_leaf(self, step: StepState, starts: list[StepState]) -> None:
        self.running.add(step)
        starts.append(step)

    def open(self, step: StepState) -> None:
        """Opens a composing step that the journal says is under way."""
        if step.inner is None:
            step.status = StepStatus.RUNNING
            composites.open_composite(self, step)
            self._bound(step)

    def _bound(self, step: StepState) -> None:
        total = step.plan.policy.timeout.total or step.plan.policy.timeout.attempt
        if step.inner is not None and total is not None:
            assert step.started_at is not None
            step.inner.deadline = step.started_at + total
            self.waiting[step.key] = step

    def _open(self, step: StepState, now: float) -> None:
        try:
            composites.open_composite(self, step)
        except StepFailure as refused:
            self.fail(step, refused.failure, now)
            return
        self._bound(step)
        self._dirty.append(step)

    def fail(self, step: StepState, failure: Failure, now: float) -> None:
        """A step that failed by the state alone: an expression, a quorum, a deadline."""
        if step.inner is not None:
            for inner in list(step.inner.open.values()):
                self.cancel_scope(inner, f"{step.key} failed")
        started = step.started_at or now
        self.record(step, settled_failure(step, failure, (started, max(0.0, now - started))))

    def _too_many_steps(self) -> None:
        most = self.plan.max_steps
        advice = "Raise `max_steps` of the flow, or give its maps and loops less to do."
        self._end(RunFailed(Failure("too_many_steps", f"The run has more than {most:,} steps.", None, advice)))

    def _too_deep(self, key: str) -> None:
        detail = f"The path of a step has {len(key):,} characters, and {LONGEST_KEY:,} are possible: {key[:100]}…"
        self._end(
            RunFailed(Failure("too_many_steps", detail, None, "Nest the steps less deep, or give them shorter ids."))
        )

    def _look_at_run(self, now: float) -> None:
        assert self.root is not None
        failed = self.root.failed
        if failed is not None and failed.failure is not None:
            self._end(RunFailed(failed.failure, failed.key))
        elif self.deadline_at is not None and now >= self.deadline_at:
            self._end(RunFailed(OVERDUE))
        elif self.root.unsettled == 0:
            self._finish()

    def _finish(self) -> None:
        assert self.root is not None
        assert self.started_at is not None
        try:
            output = self.plan.root.output
            self.output = output.evaluate(self.root.names) if output is not None else None
        except StepFailure as refused:
            self._end(RunFailed(refused.failure, "output"))
            return
        self._end(RunSucceeded(max(0.0, self.time - self.started_at)))

    def _end(self, body: Body) -> None:
        if self.root is not None:
            self.cancel_scope(self.root, "the run ended")
        self._record_run(body)

    def cancel(self, reason: str) -> None:
        """Stops the run: what runs is aborted, nothing starts any more."""
        if self.ended is None:
            self._end(RunCancelled(reason))

    def fail_run(self, failure: Failure) -> None:
        """Ends the run for a reason that lies outside its steps."""
        if self.ended is None:
            self._end(RunFailed(failure))

    def overrule(self, failure: Failure) -> None:
        """Something that followed from the state cannot be kept: the run fails, whatever was concluded.

        Takes the conclusion back that was not journaled yet: the fact of the step that `failure.where`
        names, and the end of the run.
        """
        self.outbox = [
            record
            for record in self.outbox
            if not record[2].kind.terminal and not (record[0] == failure.where and record[2].kind in _WITH_VALUE)
        ]
        self.ended = None
        self._end(RunFailed(failure, failure.where))

    def postpone(self, step: StepState) -> None:
        """A step that this worker may not start: it stays pending for the next owner."""
        self.running.discard(step)
        step.status = StepStatus.PENDING

    # ------------------------------------------------------------------ time and signals

    def deliver(self, signals: Iterable[Signal]) -> None:
        """All signals of the run, oldest first; those already used are known from the journal."""
        self.signals = {}
        for signal in signals:
            self.signals.setdefault(signal.name, []).append(signal)
        self._dirty.extend(step for step in self.waiting.values() if step.wait is not None)

    def next_due(self) -> float | None:
        """When `wake` has something to do next, in seconds since the epoch."""
        due = [moment for step in self.waiting.values() if (moment := _due(step)) is not None]
        if self.deadline_at is not None:
            due.append(self.deadline_at)
        return min(due, default=None)

    def wake(self, now: float) -> list[StepState]:
        """What is due: retries to start are given back, waits that are over are marked for `decide`."""
        starts: list[StepState] = []
        for step in list(self.waiting.values()):
            moment = _due(step)
            if moment is None or moment > now:
                continue
            if step.wait is not None:
                self._dirty.append(step)
            elif step.inner is not None:
                self.fail(step, Failure("timeout", "The step took longer than its timeout."), now)
            else:
                del self.waiting[step.key]
                step.next_at = None
                self.start_leaf(step, starts)
        return starts

    @property
    def idle(self) -> bool:
        """Nothing is running: what is left waits for time or for somebody."""
        return not self.running and not self._dirty


def _due(step: StepState) -> float | None:
    if step.wait is not None:
        return step.wait.until
    if step.inner is not None:
        return step.inner.deadline
    return step.next_at


_APPLY: dict[EventKind, Any] = {
    EventKind.STEP_SUCCEEDED: RunMachine._succeeded,
    EventKind.STEP_RETRYING: RunMachine._retrying,
    EventKind.STEP_FAILED: RunMachine._failed,
    EventKind.STEP_SKIPPED: RunMachine._skipped,
    EventKind.STEP_CANCELLED: RunMachine._cancelled,
    EventKind.STEP_WAITING: RunMachine._waiting,
    EventKind.STEP_PROGRESSED: RunMachine._progressed,
    EventKind.STEP_EXPANDED: RunMachine._expanded,
    EventKind.STEP_INTENDED: RunMachine._intended,
}
__all__ = ["Composite", "Record", "RunMachine"]

"""One claimed run: start what its machine decides, make the facts durable, go on when they are.

A run is not a task. It is pumped: by its claim, by each commit of its facts, by an attempt that ends,
by a timer, by a signal. Between two pumps it costs memory and nothing else.

Results are folded when they are sent off, so that the facts that follow from them by themselves (a skip,
the end of a map, the end of the run) go with the same commit, all or nothing. The steps that they let
start are held until that commit is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, Protocol
from uuid import UUID

from interplay.core.errors import InterplayError
from interplay.core.failures import Failure, StepFailure, defect, storable, storable_text
from interplay.core.flows.durations import LONGEST
from interplay.core.runs.events import (
    Body,
    EventKind,
    RunFailed,
    RunSucceeded,
    StepFailed,
    StepRetrying,
    StepSucceeded,
    encode_body,
)
from interplay.core.runs.machine import Record, RunMachine
from interplay.core.runs.retrying import after_failure, settled_failure
from interplay.core.runs.signals import Signal
from interplay.core.runs.state import StepState
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import ClaimedRun, RunChange, Standing
from interplay.use_cases.attempt_step import RunIdentity
from interplay.use_cases.evaluate_values import EvaluateValues
from interplay.use_cases.group_commit import CommitItem, Verdict
from interplay.use_cases.take_snapshot import EVERY
from interplay.use_cases.write_facts import FactWriter

_LOG = logging.getLogger("interplay.worker")
_P = ParamSpec("_P")
PARK_AFTER = 2.0  # seconds: a shorter wait stays in memory, a longer one gives the run back
_ENDINGS = {
    EventKind.RUN_SUCCEEDED: RunStatus.SUCCEEDED,
    EventKind.RUN_FAILED: RunStatus.FAILED,
    EventKind.RUN_CANCELLED: RunStatus.CANCELLED,
}
_ENDS_OF_STEPS = frozenset(
    {EventKind.STEP_SUCCEEDED, EventKind.STEP_RETRYING, EventKind.STEP_FAILED, EventKind.STEP_CANCELLED}
)


class Host(Protocol):
    """The worker, as a run sees it."""

    worker_id: UUID
    pool: str
    values: EvaluateValues

    def now(self) -> float: ...
    def may_start(self) -> bool:
        """False once the worker's own deadline has passed, or while it drains."""
        ...

    def commit(self, item: CommitItem) -> None: ...
    def release(self, execution: RunExecution) -> None:
        """The run has ended, parked, moved on or was lost."""
        ...

    def fail(self, run: ClaimedRun, failure: Failure, seq: int | None = None) -> None:
        """Ends the run in the ledger after its event `seq`, whatever its machine says."""
        ...

    def look_again(self, execution: RunExecution) -> None:
        """Read the run's signals and cancel anew, then `told`."""
        ...

    def say(self, run_id: str, message: dict[str, Any]) -> None:
        """To whoever follows the run right now; nothing depends on it."""
        ...

    async def attempt(self, who: RunIdentity, step: StepState, intend: Any, on_delta: Any) -> Body: ...
    async def expand(self, run: ClaimedRun, machine: RunMachine, step: StepState) -> Body:
        """Pins the version of a `flow` step and brings its plan to the machine."""
        ...


def _guarded(
    entry: Callable[Concatenate[RunExecution, _P], None],
) -> Callable[Concatenate[RunExecution, _P], None]:
    """Whatever goes wrong in one run fails that run: the worker, and a thousand others, go on."""

    @wraps(entry)
    def guarded(self: RunExecution, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            entry(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the edge of a run: logged, and told in its failure
            _LOG.exception("run %s cannot go on", self.run.run_id)
            if not self.over:
                self.fail(defect(error))

    return guarded


class RunExecution:
    """A run in the hands of a worker. Everything happens on the event loop's thread."""

    def __init__(self, host: Host, run: ClaimedRun, machine: RunMachine, writer: FactWriter) -> None:
        self.run = run
        self.machine = machine
        self._host = host
        self._writer = writer
        self._who = RunIdentity(run.run_id, run.project_id, host.worker_id, machine.plan.flow.name, run.key_id)
        self._tasks: dict[str, asyncio.Task[Body]] = {}
        self._results: list[tuple[StepState, Body]] = []
        self._elsewhere: list[StepState] = []
        self._refused: list[StepState] = []
        self._held: list[StepState] | None = None  # what waits for the latest commit of results that is under way
        self._behind: list[StepState] | None = None  # what waits for the facts that the machine holds to be sent off
        self.snapshot_seq = self._sent = writer.seq
        self._snapshotting = False
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._closing = False  # a change of the run is on its way: it ends, parks or moves, or that was turned down
        self._turned_down = False
        self.sig = run.sig
        self.over = False

    # ------------------------------------------------------------------ driving

    @_guarded
    def begin(self) -> None:
        self.machine.begin(self._host.now(), str(self.run.forked_from) if self.run.forked_from else None)
        if self.run.cancel_requested:
            self.machine.cancel("cancelled by request")
        self.wake()

    @_guarded
    def wake(self) -> None:
        """What time has made due, then everything that follows."""
        if not self.over and not self._closing:
            self._start_when_durable(self.machine.wake(self._host.now()))
            self.pump()

    @_guarded
    def told(self, sig: int, signals: Sequence[Signal] | None, cancel_requested: bool) -> None:
        """The run's signals as they are now (None: as they were), and whether somebody asked to cancel it."""
        if self.over or (self._closing and not self._turned_down):
            return  # nothing may be written after a change that may have been made; if it was not, one looks again
        self.sig = sig
        self._closing = self._turned_down = False
        if signals is not None:
            self.machine.deliver(signals)
        if cancel_requested:
            self.machine.cancel("cancelled by request")
        self.wake()

    @_guarded
    def pump(self) -> None:
        """Starts what can start and sends off what is to be durable. Safe to call at any time."""
        if self._pumping or self.over or self._closing:
            return
        self._pumping = True
        try:
            steps = self.machine.decide(self._host.now())
            if any(body.kind in _ENDS_OF_STEPS for _, _, body in self.machine.outbox):
                self._behind = self._held = [*(self._behind or ()), *steps]
            else:
                self._start_when_durable(steps)
        finally:
            self._pumping = False
        if self.machine.aborts:
            self._abort()
        self._flush()

    def _start_when_durable(self, steps: list[StepState]) -> None:
        """At once, unless what they may depend on is still on its way into the journal: results, and ends that the
        time or a signal decided. Another worker might decide those otherwise, and act on that."""
        if self._held is not None:
            self._held += steps
            return
        for step in steps:
            self._start(step)

    def _start(self, step: StepState) -> None:
        if not self._host.may_start():
            self._refused.append(step)
            return
        pool = step.plan.policy.pool
        if pool is not None and pool != self._host.pool:
            self.machine.postpone(step)
            self._elsewhere.append(step)
        elif step.plan.kind == "set" and self._host.values.at_once(step.plan.values, step.scope.names):
            self._compute_now(step)
        else:
            self._begin_attempt(step)

    @_guarded
    def start_refused(self) -> None:
        """The worker may start steps again: those that it might not are next."""
        if self._refused and not self.over:
            refused, self._refused = self._refused, []
            for step in refused:
                if not step.status.settled:
                    self._start(step)
            self.pump()

    def _compute_now(self, step: StepState) -> None:
        now = self._host.now()
        try:
            values = self._host.values.now(step.plan.values, step.scope.names)
        except StepFailure as failed:
            self._result(step, after_failure(step, self._who.run_id.hex, failed.failure, (now, 0.0)))
            return
        self._result(step, StepSucceeded(values["value"], now, 0.0))

    async def _compute(self, step: StepState) -> Body:
        """A `set` with much to evaluate, or one that has to wait for the next turn of the loop."""
        now = self._host.now()
        try:
            values = await self._host.values.run(self.run.run_id, step.plan.values, step.scope.names)
        except StepFailure as failed:
            return after_failure(step, self._who.run_id.hex, failed.failure, (now, 0.0))
        return StepSucceeded(values["value"], now, 0.0)

    def _begin_attempt(self, step: StepState) -> None:
        if step.plan.kind == "flow":
            work = self._host.expand(self.run, self.machine, step)
        elif step.plan.kind == "set":
            work = self._compute(step)
        else:
            say = partial(self._delta, step.key, step.attempt)
            work = self._host.attempt(self._who, step, partial(self._intend, step), say)
        task = asyncio.ensure_future(work)
        self._tasks[step.key] = task
        task.add_done_callback(partial(self._attempted, step))
        self._host.say(self.machine.run_id, {"type": "step.started", "step": step.key, "attempt": step.attempt})

    @_guarded
    def _attempted(self, step: StepState, task: asyncio.Task[Body]) -> None:
        if self._tasks.get(step.key) is task:
            del self._tasks[step.key]
        if self.over or task.cancelled() or step.status.settled:
            return
        error = task.exception()
        if error is None:
            body = task.result()
        elif isinstance(error, InterplayError):
            failure = storable(Failure("unavailable", error.detail, error.where, error.advice))
            body = after_failure(step, str(self.run.run_id), failure, (self._host.now(), 0.0))
        else:
            _LOG.error("step %s of run %s ended with a defect", step.key, self.run.run_id, exc_info=error)
            body = settled_failure(step, defect(error, step.key), (self._host.now(), 0.0))
        self._result(step, body)
        self.pump()

    def _result(self, step: StepState, body: Body) -> None:
        step.in_flight = True
        self._results.append((step, body))

    async def _intend(self, step: StepState, body: Body) -> None:
        """Makes an intent durable before its effect happens."""
        durable: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def done(verdict: Verdict, _: Standing | None) -> None:
            if not durable.done():
                durable.set_result(verdict)

        before = self._writer.seq
        rows = self._writer.rows([(step.key, step.attempt, body)], [encode_body(body)])
        self._commit(CommitItem(self.run.run_id, rows, done, refused=partial(self._not_kept, before)))
        if await durable is Verdict.LOST:
            raise asyncio.CancelledError
        self.machine.apply_fact(step.key, step.attempt, body)

    def _delta(self, key: str, attempt: int, text: str) -> None:
        self._host.say(self.machine.run_id, {"type": "step.delta", "step": key, "attempt": attempt, "text": text})

    def _abort(self) -> None:
        for step in self.machine.aborts:
            task = self._tasks.pop(step.key, None)
            if task is not None:
                task.cancel()
        self.machine.aborts.clear()

    # ------------------------------------------------------------------ durability

    def _flush(self) -> None:
        if self._writer.busy or self.over:
            return
        machine = self.machine
        facts, machine.outbox = machine.outbox, []
        results, self._results = self._results, []
        behind, self._behind = self._behind, None
        records: list[Record] = facts + [(step.key, step.attempt, body) for step, body in results]
        if machine.ended is not None:
            records.sort(key=_is_terminal)
        output = self._output() if machine.ended is not None else None
        over = self._writer.too_large(records, output) if records else None
        if over is not None:
            self._behind = behind
            self._refuse(facts, results, over)
            self._flush()
            return
        bodies = [encode_body(body) for _, _, body in records]
        large = self._writer.large(records, bodies, output) if records else None
        if large:
            self._writer.store_apart(records, large, partial(self._stored, facts, results, behind))
        else:
            self._send(records, bodies, results, behind)

    def _output(self) -> Any:
        return self.machine.output if isinstance(self.machine.ended, RunSucceeded) else None

    @_guarded
    def _stored(
        self,
        facts: list[Record],
        results: list[tuple[StepState, Body]],
        behind: list[StepState] | None,
        outcome: list[Record] | Failure,
    ) -> None:
        """Large values are safe now and `outcome` names them by reference, or one of them cannot be kept."""
        if self.over:
            return
        if isinstance(outcome, Failure):
            self._behind = [*behind, *(self._behind or ())] if behind is not None else self._behind
            self._refuse(facts, results, outcome)
            self._flush()
        else:
            self._send(outcome, [encode_body(body) for _, _, body in outcome], results, behind)
        self.pump()

    def _refuse(self, facts: list[Record], results: list[tuple[StepState, Body]], failure: Failure) -> None:
        """An output over the limit fails its step; one that followed from others fails the run."""
        found = False
        for place, (step, body) in enumerate(results):
            if step.key == failure.where and isinstance(body, StepSucceeded):
                results[place] = (step, _failed_by_size(step, failure, body))
                found = True
        self._results = results + self._results
        self.machine.outbox = facts + self.machine.outbox
        if not found:
            self.machine.overrule(failure)

    def _send(
        self,
        records: list[Record],
        bodies: list[bytes],
        results: list[tuple[StepState, Body]],
        behind: list[StepState] | None,
    ) -> None:
        """`behind`: what may start once the records are durable."""
        held = self._fold(results, behind) if results else behind
        if self.machine.outbox:
            self._take_along(records, bodies)
        before = self._writer.seq
        rows = self._writer.rows(records, bodies)
        change = self._change()
        if rows or change is not None:
            waits, waits_over = self._writer.waits(records)
            done = partial(self._committed, held, change)
            refused = partial(self._not_kept, before)
            self._commit(CommitItem(self.run.run_id, rows, done, change, waits, waits_over, refused))
        if change is None:
            self._schedule()
        if self.machine.outbox:
            self._flush()

    def _commit(self, item: CommitItem) -> None:
        self._host.commit(item)
        self._sent = self._writer.seq

    def _not_kept(self, before: int, reason: str) -> None:
        """The ledger refuses a value of what was sent after event `before`; nothing of it was written."""
        _LOG.error("run %s has a value that the ledger refuses: %s", self.run.run_id, reason)
        self.fail(Failure("internal", storable_text(f"The ledger refuses a value of this run: {reason}")), before)

    def fail(self, failure: Failure, seq: int | None = None) -> None:
        """Ends the run after event `seq`, or after the last that was sent off; what its machine holds is given up."""
        self.drop()
        self._host.fail(self.run, failure, self._sent if seq is None else seq)
        self._host.release(self)

    def _fold(self, results: list[tuple[StepState, Body]], behind: list[StepState] | None) -> list[StepState]:
        """What the results let start, once they are durable."""
        machine = self.machine
        for step, body in results:
            machine.apply_fact(step.key, step.attempt, body)
            if isinstance(body, StepRetrying):
                self._host.say(self.machine.run_id, {"type": "step.restarted", "step": step.key})
        self._held = held = [*(behind or ()), *machine.decide(self._host.now())]
        if machine.aborts:
            self._abort()
        return held

    def _take_along(self, records: list[Record], bodies: list[bytes]) -> None:
        """What followed goes with the same commit, unless a value of it has to be stored apart first."""
        facts = self.machine.outbox
        if self._writer.too_large(facts, self._output()) is not None:
            return
        more = [encode_body(body) for _, _, body in facts]
        if not self._writer.large(facts, more, self._output()):
            records += facts
            bodies += more
            self.machine.outbox = []

    def _change(self) -> RunChange | None:
        """What becomes of the run: it ends, it parks, it goes to another pool, or nothing yet."""
        machine, run = self.machine, self.run
        if self._closing or machine.outbox or self._results:
            return None
        seq = self._writer.seq
        if machine.ended is not None:
            self._closing = True
            status = _ENDINGS[machine.ended.kind]
            error = self._writer.error(machine.ended) if isinstance(machine.ended, RunFailed) else None
            output = self._writer.output(machine.output) if status is RunStatus.SUCCEEDED else None
            return RunChange(run.run_id, run.fence, status, seq, output=output, error=error)
        if not machine.idle or self._tasks:
            return None
        if self._elsewhere:
            self._closing = True
            queue = self._elsewhere[0].plan.policy.pool
            return RunChange(run.run_id, run.fence, RunStatus.QUEUED, seq, self.sig, queue=queue)
        due = machine.next_due()
        if due is not None and due <= self._host.now() + PARK_AFTER:
            return None
        self._closing = True
        due = min(due, self._host.now() + LONGEST) if due is not None else None
        return RunChange(run.run_id, run.fence, RunStatus.WAITING, seq, self.sig, ready_at=due)

    @_guarded
    def _committed(
        self, held: list[StepState] | None, change: RunChange | None, verdict: Verdict, _standing: Standing | None
    ) -> None:
        if self.over:
            return
        if verdict is Verdict.LOST:
            self.drop()
            self._host.release(self)
            return
        ended = change is not None and verdict is Verdict.DONE and change.status.ended
        self._host.say(self.machine.run_id, {"type": "committed", "seq": self._writer.seq, "ended": ended})
        if change is not None and verdict is Verdict.DONE:
            self.drop()
            self._host.release(self)
            return
        if held is not None:
            self._start_held(held)
        if change is not None:
            self._turned_down = True
            self._host.look_again(self)
        elif held:
            self._flush()  # all that the machine decides was decided when the results were folded
        else:
            self.pump()

    def _start_held(self, held: list[StepState]) -> None:
        if self._held is held:
            self._held = None
        if self.machine.ended is None:
            for step in held:
                if step in self.machine.running:  # it may have been cancelled meanwhile
                    self._start(step)

    # ------------------------------------------------------------------ time

    def _schedule(self) -> None:
        """Wakes the run when the next thing is due, if that is soon; the worker sweeps the rest."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.machine.waiting:
            return
        due = self.machine.next_due()
        if due is not None:
            delay = max(0.0, due - self._host.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self.wake)

    def drop(self) -> None:
        """Stops everything of this run in this process; what is durable stays."""
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        self._writer.drop()

    def wants_snapshot(self) -> bool:
        """True once for every stretch of events long enough; the answer begins the snapshot."""
        if self._snapshotting or self.over or self._writer.seq - self.snapshot_seq < EVERY:
            return False
        self._snapshotting = True
        return True

    def snapshot_taken(self, seq: int) -> None:
        self._snapshotting = False
        self.snapshot_seq = seq

    @property
    def attempts(self) -> list[asyncio.Task[Body]]:
        """The attempts under way: for a drain to wait for."""
        return list(self._tasks.values())


def _failed_by_size(step: StepState, failure: Failure, body: StepSucceeded) -> Body:
    """What `on_error` says; unless it is that very value that is too large."""
    if body.via == "default":
        return StepFailed(failure, body.started_at, body.seconds, False, body.usage)
    return settled_failure(step, failure, (body.started_at, body.seconds), body.usage)


def _is_terminal(record: Record) -> bool:
    """For sorting: in the journal nothing comes after the end of the run."""
    return record[2].kind.terminal

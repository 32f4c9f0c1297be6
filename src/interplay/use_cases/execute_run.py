"""One claimed run: start what its machine decides, make the facts durable, go on when they are.

A run is not a task. It is pumped: by its claim, by each commit of its facts, by an attempt that ends,
by a timer, by a signal. Between two pumps it costs memory and nothing else.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from interplay.core.errors import InterplayError
from interplay.core.failures import Failure, StepFailure
from interplay.core.runs.events import Body, EventKind, RunFailed, StepExpanded, StepSucceeded
from interplay.core.runs.machine import Record, RunMachine
from interplay.core.runs.retrying import after_failure, settled_failure
from interplay.core.runs.signals import Signal
from interplay.core.runs.state import StepState
from interplay.core.runs.status import RunStatus, StepStatus
from interplay.ports.run_queue import ClaimedRun, RunChange, Standing
from interplay.use_cases.attempt_step import RunIdentity
from interplay.use_cases.group_commit import CommitItem, Verdict
from interplay.use_cases.take_snapshot import EVERY
from interplay.use_cases.write_facts import FactWriter

PARK_AFTER = 2.0  # seconds: a shorter wait stays in memory, a longer one gives the run back
_ENDINGS = {
    EventKind.RUN_SUCCEEDED: RunStatus.SUCCEEDED,
    EventKind.RUN_FAILED: RunStatus.FAILED,
    EventKind.RUN_CANCELLED: RunStatus.CANCELLED,
}


class Host(Protocol):
    """The worker, as a run sees it."""

    worker_id: UUID
    pool: str

    def now(self) -> float: ...
    def may_start(self) -> bool:
        """False once the worker's own deadline has passed, or while it drains."""
        ...

    def commit(self, item: CommitItem) -> None: ...
    def release(self, execution: RunExecution) -> None:
        """The run has ended, parked, moved on or was lost."""
        ...

    def look_again(self, execution: RunExecution) -> None:
        """Read the run's signals and cancel anew, then `told`."""
        ...

    def say(self, run_id: UUID, message: dict[str, Any]) -> None:
        """To whoever follows the run right now; nothing depends on it."""
        ...

    async def attempt(self, who: RunIdentity, step: StepState, intend: Any, on_delta: Any) -> Body: ...
    async def expand(self, run: ClaimedRun, machine: RunMachine, step: StepState) -> Body:
        """Pins the version of a `flow` step and brings its plan to the machine."""
        ...


class RunExecution:
    """A run in the hands of a worker. Everything happens on the event loop's thread."""

    def __init__(self, host: Host, run: ClaimedRun, machine: RunMachine, writer: FactWriter) -> None:
        self.run = run
        self.machine = machine
        self._host = host
        self._writer = writer
        self._who = RunIdentity(run.run_id, run.project_id, host.worker_id)
        self._tasks: dict[str, asyncio.Task[Body]] = {}
        self._results: list[tuple[StepState, Body]] = []
        self._elsewhere: list[StepState] = []
        self._refused: list[StepState] = []
        self.snapshot_seq = writer.seq
        self._snapshotting = False
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._closing = False
        self.sig = run.sig
        self.over = False

    # ------------------------------------------------------------------ driving

    def begin(self) -> None:
        self.machine.begin(self._host.now(), str(self.run.forked_from) if self.run.forked_from else None)
        if self.run.cancel_requested:
            self.machine.cancel("cancelled by request")
        self.wake()

    def wake(self) -> None:
        """What time has made due, then everything that follows."""
        if not self.over:
            for step in self.machine.wake(self._host.now()):
                self._start(step)
            self.pump()

    def told(self, sig: int, signals: tuple[Signal, ...], cancel_requested: bool) -> None:
        """The run's signals as they are now, and whether somebody asked to cancel it."""
        if self.over:
            return
        self.sig = sig
        self._closing = False
        self.machine.deliver(signals)
        if cancel_requested:
            self.machine.cancel("cancelled by request")
        self.pump()

    def pump(self) -> None:
        """Starts what can start and sends off what is to be durable. Safe to call at any time."""
        if self._pumping or self.over:
            return
        self._pumping = True
        try:
            for step in self.machine.decide(self._host.now()):
                self._start(step)
        finally:
            self._pumping = False
        self._abort()
        self._flush()

    def _start(self, step: StepState) -> None:
        if not self._host.may_start():
            self._refused.append(step)
            return
        pool = step.plan.policy.pool
        if pool is not None and pool != self._host.pool:
            self.machine.postpone(step)
            self._elsewhere.append(step)
        elif step.plan.kind == "set":
            self._compute(step)
        else:
            self._begin_attempt(step)

    def start_refused(self) -> None:
        """The worker may start steps again: those that it might not are next."""
        if self._refused and not self.over:
            refused, self._refused = self._refused, []
            for step in refused:
                if not step.status.settled:
                    self._start(step)
            self.pump()

    def _compute(self, step: StepState) -> None:
        now = self._host.now()
        try:
            value = step.plan.values["value"].evaluate(step.scope.names)
        except StepFailure as failed:
            self._result(step, after_failure(step, self._who.run_id.hex, failed.failure, (now, 0.0)))
            return
        self._result(step, StepSucceeded(value, now, 0.0))

    def _begin_attempt(self, step: StepState) -> None:
        if step.plan.kind == "flow":
            work = self._host.expand(self.run, self.machine, step)
        else:
            say = partial(self._delta, step.key, step.attempt)
            work = self._host.attempt(self._who, step, partial(self._intend, step), say)
        task = asyncio.ensure_future(work)
        self._tasks[step.key] = task
        task.add_done_callback(partial(self._attempted, step))
        self._host.say(self.run.run_id, {"type": "step.started", "step": step.key, "attempt": step.attempt})

    def _attempted(self, step: StepState, task: asyncio.Task[Body]) -> None:
        if self._tasks.get(step.key) is task:
            del self._tasks[step.key]
        if self.over or task.cancelled() or step.status.settled:
            return
        error = task.exception()
        if error is None:
            body = task.result()
        elif isinstance(error, InterplayError):
            failure = Failure("unavailable", error.detail, error.where, error.advice)
            body = after_failure(step, str(self.run.run_id), failure, (self._host.now(), 0.0))
        else:
            failure = Failure("internal", f"{type(error).__name__}: {error}", step.key)
            body = settled_failure(step, failure, (self._host.now(), 0.0))
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

        rows = self._writer.rows([(step.key, step.attempt, body)])
        self._host.commit(CommitItem(self.run.run_id, rows, done))
        if await durable is Verdict.LOST:
            raise asyncio.CancelledError
        self.machine.apply_fact(step.key, step.attempt, body)

    def _delta(self, key: str, attempt: int, text: str) -> None:
        self._host.say(self.run.run_id, {"type": "step.delta", "step": key, "attempt": attempt, "text": text})

    def _abort(self) -> None:
        for step in self.machine.aborts:
            task = self._tasks.pop(step.key, None)
            if task is not None:
                task.cancel()
        self.machine.aborts.clear()

    # ------------------------------------------------------------------ durability

    def _flush(self) -> None:
        if self._writer.busy:
            return
        machine = self.machine
        facts, machine.outbox = machine.outbox, []
        results, self._results = self._results, []
        records: list[Record] = facts + [(step.key, step.attempt, body) for step, body in results]
        output = machine.output if machine.ended is not None else None
        stored = partial(self._stored, facts, results)
        if not records or not self._writer.store_apart(records, output, stored):
            self._send(records, results)

    def _stored(
        self, facts: list[Record], results: list[tuple[StepState, Body]], outcome: list[Record] | Failure
    ) -> None:
        """Large values are safe now and `outcome` names them by reference, or one of them cannot be kept."""
        if self.over:
            return
        if isinstance(outcome, Failure):
            self._refuse(facts, results, outcome)
            self._flush()
        else:
            self._send(outcome, results)
        self.pump()

    def _refuse(self, facts: list[Record], results: list[tuple[StepState, Body]], failure: Failure) -> None:
        """An output over the limit fails its step; one that followed from others fails the run."""
        found = False
        for place, (step, body) in enumerate(results):
            if step.key == failure.where and isinstance(body, StepSucceeded):
                span = (body.started_at, body.seconds)
                results[place] = (step, settled_failure(step, failure, span, body.usage))
                found = True
        self._results = results + self._results
        self.machine.outbox = facts + self.machine.outbox
        if not found:
            self.machine.overrule(failure)

    def _send(self, records: list[Record], results: list[tuple[StepState, Body]]) -> None:
        rows = self._writer.rows(records)
        change = self._change()
        if not rows and change is None:
            self._schedule()
            return
        waits, waits_over = self._writer.waits(records)
        done = partial(self._committed, results, change)
        self._host.commit(CommitItem(self.run.run_id, rows, done, change, waits, waits_over))
        if change is None:
            self._schedule()

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
        return RunChange(run.run_id, run.fence, RunStatus.WAITING, seq, self.sig, ready_at=due)

    def _committed(
        self,
        results: list[tuple[StepState, Body]],
        change: RunChange | None,
        verdict: Verdict,
        _standing: Standing | None,
    ) -> None:
        if self.over:
            return
        if verdict is Verdict.LOST:
            self.drop()
            self._host.release(self)
            return
        for step, body in results:
            self._apply(step, body)
        ended = change is not None and verdict is Verdict.DONE and change.status.ended
        self._host.say(self.run.run_id, {"type": "committed", "seq": self._writer.seq, "ended": ended})
        if change is not None:
            if verdict is Verdict.DONE:
                self.drop()
                self._host.release(self)
            else:
                self._host.look_again(self)
            return
        self.pump()

    def _apply(self, step: StepState, body: Body) -> None:
        self.machine.apply_fact(step.key, step.attempt, body)
        if isinstance(body, StepSucceeded | StepExpanded):
            return
        if step.status is StepStatus.RUNNING:  # another attempt follows
            self._host.say(self.run.run_id, {"type": "step.restarted", "step": step.key})

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

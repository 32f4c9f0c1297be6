"""A worker's time under one worker id: its lease, its committer, and the runs it claimed under that id.

Everything in here is bound to that id. When the lease is lost the whole tenure is dropped, and whatever
still comes back to it changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.core.failures import Failure
from interplay.core.runs.events import Body, RunFailed, encode_body
from interplay.core.runs.machine import RunMachine
from interplay.core.runs.state import StepState
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import ClaimedRun, JournalRow, RunChange
from interplay.use_cases.execute_run import RunExecution
from interplay.use_cases.group_commit import CommitItem, GroupCommitter, Verdict
from interplay.use_cases.hold_lease import Lease
from interplay.use_cases.recover_run import RecoveredRun
from interplay.use_cases.write_facts import FactWriter

if TYPE_CHECKING:
    from interplay.use_cases.attempt_step import RunIdentity
    from interplay.use_cases.count_work import Counted
    from interplay.use_cases.take_snapshot import TakeSnapshot
    from interplay.use_cases.work import WorkerOptions, WorkerParts


_LOG = logging.getLogger("interplay.worker")
_AWAY_PAUSE = 0.1  # seconds between two tries while the ledger is away


def _nobody() -> None:
    """Nobody waits for room."""


class Tenure:
    """Implements `execute_run.Host` for the runs of one worker id."""

    def __init__(
        self, parts: WorkerParts, options: WorkerOptions, worker_id: UUID, snapshots: TakeSnapshot, counted: Counted
    ) -> None:
        self.worker_id = worker_id
        self.pool = options.pool
        self.executions: dict[UUID, RunExecution] = {}
        self.ended = asyncio.Event()
        self.draining = False
        self.renewing: asyncio.Task[None] | None = None
        self.lease = Lease(parts.queue, parts.clock, worker_id, options.lease)
        self.now = parts.clock.now
        self.values = parts.attempts.values
        self._parts = parts
        self._options = options
        self._snapshots = snapshots
        self._events = parts.events
        durable = self._events.committed if self._events is not None else None
        self._committer = GroupCommitter(parts.queue, worker_id, options.lease, self.lose, counted, durable)
        self.commit = self._committer.put
        self._committing: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._looking: dict[RunExecution, bool] = {}  # true: somebody hinted again while it was looked at
        self._since = 0.0
        self._failing: set[UUID] = set()  # runs whose failure is on its way into the ledger
        self.on_room: Callable[[], None] = _nobody

    @property
    def lost(self) -> bool:
        return self._committer.lost

    async def begin(self) -> None:
        await self.lease.take(self._options.pool, self._options.capacity)
        self._since = self._parts.clock.monotonic()
        self._committing = asyncio.create_task(self._committer.run())
        self._committing.add_done_callback(self._committer_ended)

    def _committer_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("the committer ended", exc_info=task.exception())
            self.lose()

    # ------------------------------------------------------------------ runs

    def execute(self, run: ClaimedRun, recovered: RecoveredRun) -> None:
        writer = FactWriter(run, recovered.seq, self._parts.blobs)
        waiting = {key for key, step in recovered.machine.waiting.items() if step.wait is not None}
        writer.waits_already(waiting)
        execution = RunExecution(self, run, recovered.machine, writer)
        self.executions[run.run_id] = execution
        if self._events is not None:
            self._events.own(run, recovered.seq)
        execution.begin()

    def fail(self, run: ClaimedRun, failure: Failure, seq: int | None = None) -> None:
        """Ends a run that cannot be executed: after event `seq`, or after the last that its claim told of."""
        seq = (run.seq if seq is None else seq) + 1
        body = RunFailed(failure)
        row = JournalRow(run.run_id, run.shelf, seq, body.kind, None, 0, run.fence, encode_body(body))
        error = FactWriter(run, seq, self._parts.blobs).error(body)
        change = RunChange(run.run_id, run.fence, RunStatus.FAILED, seq, error=error)
        self._failing.add(run.run_id)
        if self._events is not None:
            self._events.own(run, seq - 1)

        def done(verdict: Verdict, _: object) -> None:
            self._failing.discard(run.run_id)
            if self._events is not None:
                self._events.release(run.run_id)
            if verdict is Verdict.DONE:
                self.say(str(run.run_id), {"type": "committed", "seq": seq, "ended": True})

        def refused(reason: str) -> None:
            _LOG.error("run %s stays as it is: the ledger refuses even its failure: %s", run.run_id, reason)

        self.commit(CommitItem(run.run_id, [row], done, change, refused=refused))

    @property
    def known(self) -> list[UUID]:
        """The runs of this worker id that something in this process is about."""
        return [*self.executions, *self._failing]

    def release(self, execution: RunExecution) -> None:
        if self.executions.pop(execution.run.run_id, None) is not None:
            if self._events is not None:
                self._events.release(execution.run.run_id)
            self.on_room()

    def look_again(self, execution: RunExecution) -> None:
        """One look at a run at a time: thousands of hints while it is under way ask for one more."""
        known = execution in self._looking
        self._looking[execution] = known
        if not known:
            self._spawn(self._look(execution))

    async def _look(self, execution: RunExecution) -> None:
        try:
            again = True
            while again:
                self._looking[execution] = False
                await self._look_again(execution)
                again = self._looking[execution]
        finally:
            del self._looking[execution]

    async def _look_again(self, execution: RunExecution) -> None:
        run_id = execution.run.run_id
        while not self.lost and not execution.over:
            try:
                standing = (await self._parts.queue.standing([run_id])).get(run_id)
                fresh = standing is not None and standing.sig != execution.sig
                signals = (await self._parts.queue.signals([run_id])).get(run_id, ()) if fresh else None
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)
                continue
            if standing is None or standing.worker_id != self.worker_id:
                execution.drop()
                self.release(execution)
            else:
                execution.told(standing.sig, signals, standing.cancel_requested)
            return

    def hinted(self, message: dict[str, Any]) -> None:
        """Somebody says that a run of ours was signalled or cancelled."""
        with contextlib.suppress(KeyError, ValueError):
            execution = self.executions.get(UUID(message["run"]))
            if execution is not None:
                self.look_again(execution)

    # ------------------------------------------------------------------ what a run asks of its host

    def may_start(self) -> bool:
        return self.lease.held and not self.draining and not self._committer.lost

    def say(self, run_id: str, message: dict[str, Any]) -> None:
        self._parts.bus.publish(f"run.{run_id}", message)

    async def attempt(self, who: RunIdentity, step: StepState, intend: Any, on_delta: Any) -> Body:
        return await self._parts.attempts.run(who, step, intend, on_delta)

    async def expand(self, run: ClaimedRun, machine: RunMachine, step: StepState) -> Body:
        while True:
            try:
                return await self._parts.expand.run(run.project_id, machine, step)
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)  # the ledger is away: that costs time, and fails no step

    # ------------------------------------------------------------------ the lease

    async def keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self._options.renew_every)
            held = self.lease.held
            answer = await self.lease.renew()
            if not answer.alive:
                self.lose()
                return
            if not held:
                self._since = self._parts.clock.monotonic()
            for run_id in answer.cancelled:
                self._look_at(run_id, None)
            for run_id, sig in answer.signalled:
                self._look_at(run_id, sig)
            self._go_on()

    def _look_at(self, run_id: UUID, sig: int | None) -> None:
        execution = self.executions.get(run_id)
        if execution is not None and (sig is None or sig != execution.sig):
            self.look_again(execution)

    def _go_on(self) -> None:
        """A lease that was late is held again: steps that might not start may start now."""
        if self.may_start():
            for execution in list(self.executions.values()):
                execution.start_refused()

    def lease_unbroken_for(self, seconds: float) -> bool:
        """A reaper asks this of itself: after an outage the others deserve the time to renew first."""
        return self.lease.held and self._parts.clock.monotonic() - self._since >= seconds

    def lose(self) -> None:
        self._committer.lose()
        self.ended.set()

    @property
    def outage(self) -> bool:
        """The ledger was away when the lease ended: it ended by no fault of this worker or its runs."""
        return self.lease.away or self._committer.away

    # ------------------------------------------------------------------ housekeeping and the end

    def sweep(self) -> None:
        now = self.now()
        for execution in list(self.executions.values()):
            deadline = execution.machine.deadline_at
            if deadline is not None and now >= deadline:
                execution.pump()
            if execution.wants_snapshot():
                self._spawn(self._snapshots.run(self.worker_id, execution))

    async def quiet(self) -> None:
        """Returns when no attempt is under way and everything is durable."""
        while tasks := [task for e in self.executions.values() for task in e.attempts]:
            await asyncio.wait(tasks)
        await self._committer.settled()

    async def retire(self) -> int:
        """Hands back what this worker still holds, and forgets the worker."""
        for execution in self.executions.values():
            execution.drop()
        try:
            return await self._parts.queue.retire(self.worker_id)
        except Unavailable:
            return 0  # the lease runs out by itself

    def drop(self) -> None:
        self._committer.lost = True
        for execution in self.executions.values():
            execution.drop()
            if self._events is not None:
                self._events.release(execution.run.run_id)
        self.executions.clear()
        for task in (self._committing, self.renewing, *self._background):
            if task is not None:
                task.cancel()

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

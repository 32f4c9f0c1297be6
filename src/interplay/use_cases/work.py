"""The worker: claims runs, executes them, and lives under one lease at a time.

The loop, as a list: take a lease · claim while there is room · execute · renew · reap the dead · wake
what is due · when the lease is lost, drop everything and begin anew under another id.

A ledger that is away for a while costs time only: a claim whose answer got lost is looked after by
adopting what it took, and a lease that ended meanwhile is retired, at no cost to anybody's budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from interplay.core.errors import NotFound, Unavailable
from interplay.core.failures import Failure, defect
from interplay.core.runs.signals import Signal
from interplay.ports.blob_store import BlobStore
from interplay.ports.clock import Clock
from interplay.ports.event_bus import EventBus
from interplay.ports.run_queue import ClaimedRun, History, RunQueue
from interplay.use_cases.attempt_step import AttemptStep
from interplay.use_cases.count_work import Counted
from interplay.use_cases.expand_flow import ExpandFlow
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.publish_events import PublishEvents
from interplay.use_cases.recover_run import RecoverRun
from interplay.use_cases.take_snapshot import TakeSnapshot
from interplay.use_cases.tenure import Tenure

_LOG = logging.getLogger("interplay.worker")
_AWAY_PAUSE = 0.2  # seconds between two tries while the ledger is away
_OVERDUE_SHARE = 200  # looks for overdue runs take one part in so many of the time
_LEVEL = 5.0  # seconds that a worker that ends gives its events; the rest others publish
_WORTH = 16  # runs: a claim for fewer costs more than waiting for the next to end


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Times in seconds. `capacity` is how many runs one process holds at once.

    `poll` is how often a worker without a hint looks for runs; `sweep` how often it reaps and wakes.
    """

    pool: str = "default"
    capacity: int = 1000
    lease: float = 10.0
    renew_every: float = 2.5
    poll: float = 0.5
    sweep: float = 1.0
    takeover_budget: int = 5
    claim_most: int = 128
    drain: float = 20.0


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """What a worker works with; made by the composition root."""

    queue: RunQueue
    bus: EventBus
    clock: Clock
    blobs: BlobStore
    plans: PlanLoader
    attempts: AttemptStep
    expand: ExpandFlow
    new_id: Callable[[], UUID]
    events: PublishEvents | None = None  # where nobody listens, nothing is published


class Worker:
    """`run()` works until `stop()`; then it drains and hands back what is not done."""

    def __init__(self, parts: WorkerParts, options: WorkerOptions | None = None) -> None:
        self.parts = parts
        self.options = options or WorkerOptions()
        self.tenure: Tenure | None = None
        self.ready = asyncio.Event()
        self.counted = Counted()
        self._stopping = asyncio.Event()
        self._hint = asyncio.Event()
        self._recover = RecoverRun(parts.queue, parts.blobs, parts.plans)
        self._snapshots = TakeSnapshot(parts.queue)
        self._full = False
        self._unsure_until: float | None = None  # from then on, one more look says that all is known
        self._overdue_at = 0.0

    def stop(self) -> None:
        """Begins the drain: nothing new starts, what is under way may end."""
        self._stopping.set()
        self._hint.set()

    def nudge(self) -> None:
        """A run may be claimable: look now."""
        self._hint.set()

    async def run(self) -> None:
        events = self.parts.events
        publishing = asyncio.create_task(events.run()) if events is not None else None
        try:
            await self._work()
            if events is not None:
                await events.level(min(_LEVEL, self.options.drain))
        finally:
            if publishing is not None:
                await _end([publishing])

    async def _work(self) -> None:
        while not self._stopping.is_set():
            tenure = Tenure(self.parts, self.options, self.parts.new_id(), self._snapshots, self.counted)
            await tenure.begin()
            self.tenure = tenure
            self.counted.leases += 1
            self.ready.set()
            try:
                await self._serve(tenure)
                if not tenure.lost:
                    await self._drain(tenure)
            finally:
                self.ready.clear()
                outage = tenure.outage
                self.counted.leases_lost += tenure.lost
                tenure.drop()
            if tenure.lost and outage:
                await self._give_back(tenure)

    async def _give_back(self, tenure: Tenure) -> None:
        """After an outage: the runs are free at once, and no takeover is charged to them."""
        while True:
            try:
                given_back = await self.parts.queue.retire(tenure.worker_id)
            except Unavailable:
                if self._stopping.is_set():
                    return  # whoever finds the lease over takes them
                await asyncio.sleep(_AWAY_PAUSE)
            else:
                _LOG.warning("the ledger was away for longer than the lease", extra={"given_back": given_back})
                return

    async def _serve(self, tenure: Tenure) -> None:
        """Works under one lease until it is lost or the worker stops."""
        loops: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = (
            lambda: self._claim(tenure),
            lambda: tenure.keep_lease(),
            lambda: self._sweep(tenure),
            lambda: self._listen(tenure),
        )
        tasks = [asyncio.create_task(loop()) for loop in loops]
        ends = [asyncio.create_task(tenure.ended.wait()), asyncio.create_task(self._stopping.wait())]
        try:
            done, _ = await asyncio.wait([*tasks, *ends], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            keep = tasks[1:2] if not tenure.lost else []  # a draining worker keeps its lease
            await _end([task for task in [*tasks, *ends] if task not in keep])
            tenure.renewing = keep[0] if keep else None

    async def _drain(self, tenure: Tenure) -> None:
        """Waits for the attempts under way, then gives the rest back at no cost to its budget."""
        tenure.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.drain):
                await tenure.quiet()
        if tenure.renewing is not None:
            await _end([tenure.renewing])
        given_back = await tenure.retire()
        level = logging.INFO if given_back else logging.DEBUG  # a command that ran one flow has nothing to tell
        _LOG.log(level, "drained", extra={"given_back": given_back})

    # ------------------------------------------------------------------ the loops

    async def _claim(self, tenure: Tenure) -> None:
        """Claims whenever there is room and a reason: a hint, room again after it was full, or the poll."""
        options = self.options
        tenure.on_room = lambda: self._room_again(tenure)
        while True:
            self._hint.clear()
            room = min(options.capacity - len(tenure.executions), options.claim_most)
            claimed = 0
            if tenure.lease.held and self._unsure_until is not None:
                await self._adopt(tenure, self._unsure_until)
            if room > 0 and tenure.lease.held:
                claimed = await self._claim_some(tenure, room)
            self._full = claimed > 0 or room <= 0  # there may be more than there was room for
            if claimed == 0 or room <= 0:
                # not wait_for: a hint at the moment of a cancellation would make it swallow the cancellation
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(options.poll):
                        await self._hint.wait()

    def _room_again(self, tenure: Tenure) -> None:
        """After a worker was full: claim once there is room for a batch worth a statement."""
        if self._full:
            room = self.options.capacity - len(tenure.executions)
            if room >= min(_WORTH, max(1, self.options.capacity // 4)) or not tenure.executions:
                self._hint.set()

    async def _claim_some(self, tenure: Tenure, most: int) -> int:
        try:
            runs = await self.parts.queue.claim(tenure.worker_id, self.options.pool, most)
        except Unavailable:
            await self._unsure()
            return 0
        if runs:
            self.counted.claims += 1
            self.counted.runs_claimed += len(runs)
            await self._take(tenure, runs)
        return len(runs)

    async def _unsure(self) -> None:
        """A claim may have happened, or may still happen: for a while to come, and once after it, look for what it
        took. Once after it, because this process may stand still for that while."""
        self.counted.away += 1
        self._unsure_until = self.parts.clock.monotonic() + self.options.lease
        await asyncio.sleep(_AWAY_PAUSE)

    async def _adopt(self, tenure: Tenure, until: float) -> None:
        """Takes the runs of claims whose answer got lost: nobody else would ever execute them under this id.

        Only ever between two claims: a claim under way has runs that nobody here knows of yet.
        """
        last = self.parts.clock.monotonic() >= until
        try:
            orphans = await self.parts.queue.orphans(tenure.worker_id, tenure.known)
            runs = await self.parts.queue.adopt(tenure.worker_id, orphans) if orphans else []
        except Unavailable:
            await self._unsure()
            return
        if runs:
            self.counted.runs_adopted += len(runs)
            _LOG.info("adopted the runs of a claim whose answer got lost", extra={"runs": len(runs)})
            await self._take(tenure, runs)
        if last and self._unsure_until == until:
            self._unsure_until = None

    async def _take(self, tenure: Tenure, runs: list[ClaimedRun]) -> None:
        """Folds each run's journal and begins to execute it."""
        while True:
            try:
                histories, signals = await self._recover.read(runs)
                break
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)
                if tenure.lost:
                    return
        for run in runs:
            await self._begin(tenure, run, histories.get(run.run_id), signals.get(run.run_id, ()))

    async def _begin(self, tenure: Tenure, run: ClaimedRun, history: History | None, signals: Sequence[Signal]) -> None:
        """A run that cannot be begun fails, and stops no other."""
        while not tenure.lost:
            try:
                tenure.execute(run, await self._recover.fold(run, history, signals))
            except Unavailable:
                await asyncio.sleep(_AWAY_PAUSE)
                continue
            except (NotFound, msgspec.DecodeError, KeyError) as broken:
                tenure.fail(run, _cannot_recover(broken))
            except Exception as error:  # noqa: BLE001 - the edge of a run: logged, and told in its failure
                _LOG.exception("run %s cannot be begun", run.run_id)
                tenure.fail(run, defect(error))
            return

    async def _sweep(self, tenure: Tenure) -> None:
        """Housekeeping: dead workers, due timers, deadlines, snapshots."""
        options, queue = self.options, self.parts.queue
        while True:
            await asyncio.sleep(options.sweep)
            tenure.sweep()
            try:
                if tenure.lease_unbroken_for(options.lease):
                    reaped = await queue.reap(options.lease, options.takeover_budget)
                    if reaped.workers:
                        self.counted.takeovers += len(reaped.workers)
                        self.counted.runs_taken_over += len(reaped.requeued)
                        _LOG.warning(
                            "took over from lost workers",
                            extra={"workers": len(reaped.workers), "runs": len(reaped.requeued)},
                        )
                        self.nudge()
                if await queue.wake_due(1000):
                    self.nudge()
                await self._end_overdue()
                await self.parts.attempts.slots.tidy(tenure.worker_id)
            except Unavailable as away:
                _LOG.warning("sweep postponed: %s", away)

    async def _end_overdue(self) -> None:
        """Deadlines of runs that no worker holds. It reads all that is queued, so a long queue is read rarely."""
        began = self.parts.clock.monotonic()
        if began < self._overdue_at:
            return
        for run_id in await self.parts.queue.end_overdue():
            self.parts.bus.publish(f"run.{run_id}", {"type": "committed", "ended": True})
        now = self.parts.clock.monotonic()
        self._overdue_at = now + max(self.options.sweep, _OVERDUE_SHARE * (now - began))

    async def _listen(self, tenure: Tenure) -> None:
        topics = (f"queue.{self.options.pool}", f"worker.{tenure.worker_id}")
        async with self.parts.bus.subscribe(*topics) as messages:
            async for topic, message in messages:
                if topic.startswith("queue."):
                    self.nudge()
                else:
                    tenure.hinted(message)


def _cannot_recover(error: Exception) -> Failure:
    if isinstance(error, NotFound):
        return Failure("not_found", f"The run cannot go on: {error.detail}")
    detail = f"The run's journal cannot be read by this release: {type(error).__name__}: {error}"
    return Failure("internal", detail, None, "Upgrade the workers, then re-drive the run.")


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

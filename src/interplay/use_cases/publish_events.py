"""A worker publishes what it has committed, after it is durable, in the order of each run.

    committed ──▶ queue ──▶ log ──▶ mark

A run is either *level*: each event that is committed goes from here to the log; or *behind*: what it has is read from
the ledger until it is level. A run is behind when it is claimed with events that nobody says are published, when the
log did not take its events, and when the queue is full: so memory is bounded, and a log that is away costs time only.

How far each run is published is marked in the ledger when the run leaves this worker, and now and then before. What is
not marked, the next owner publishes again; of runs that ended, `sweep_log` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from interplay.core.errors import NotFound, Unavailable
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedRow, LoggedRun, logged_event
from interplay.ports.clock import Clock
from interplay.ports.event_log import EventLog
from interplay.ports.log_store import LogStore
from interplay.ports.run_queue import ClaimedRun
from interplay.use_cases.group_commit import CommitItem
from interplay.use_cases.tell_away import TellAway

_LOG: Final = logging.getLogger("interplay.events")
MOST_QUEUED: Final = 20_000  # events in memory
_BATCH: Final = 1000
_PAGE: Final = 200  # events of a run that is behind, in one look
_RUNS: Final = 20  # of those that are behind, in one look
_MARK_EVERY: Final = 0.1  # seconds
_MARK_EVENTS: Final = 500  # of a run that is still executed
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds after the log did not take something


@dataclass(slots=True, eq=False)
class _Owned:
    """`committed`: its last durable event. `queued`: the last that is in the queue, or was. `published`: the last in
    the log. `marked`: the last that the ledger knows to be there."""

    run: LoggedRun
    published: int
    committed: int
    queued: int
    marked: int
    behind: bool = False
    over: bool = False


@dataclass(slots=True)
class Published:
    """What this process published since it started; `refused`: how often the log took nothing."""

    events: int = 0
    read_again: int = 0
    refused: int = 0


class PublishEvents:
    """`away`: why the log takes nothing at the moment. Everything but `run` is quick, and called on the loop."""

    def __init__(self, log: EventLog, store: LogStore, clock: Clock, most: int = MOST_QUEUED) -> None:
        self._log, self._store, self._clock, self._most = log, store, clock, most
        self._runs: dict[UUID, _Owned] = {}
        self._queue: deque[tuple[_Owned, LoggedRow]] = deque()
        self._behind: dict[_Owned, None] = {}
        self._marks: dict[UUID, int] = {}
        self._some = asyncio.Event()
        self._marked_at = 0.0
        self._level = asyncio.Event()
        self._level.set()
        self._away = TellAway(_LOG, "events are not published for now")
        self.counted = Published()

    @property
    def away(self) -> str | None:
        return self._away.reason

    @property
    def waiting(self) -> int:
        """Runs that are behind, and events that are queued."""
        return len(self._behind) + len(self._queue)

    # ------------------------------------------------------------------ what a worker says

    def own(self, run: ClaimedRun, seq: int) -> None:
        """This worker has the run now, with `seq` events durable."""
        if run.published is None:
            return
        known = self._runs.get(run.run_id)
        if known is None:
            place = LoggedRun(run.run_id, run.project_id, run.flow_name, run.flow_version)
            known = self._runs[run.run_id] = _Owned(place, run.published, seq, run.published, run.published)
        known.over = False
        known.committed = max(known.committed, seq)
        if known.queued < known.committed:
            self._fall_behind(known)

    def committed(self, items: Sequence[CommitItem]) -> None:
        """These are durable now."""
        now = self._clock.now()
        for item in items:
            owned = self._runs.get(item.run_id)
            if owned is None or not item.rows:
                continue
            owned.committed = item.rows[-1].seq
            if owned.behind:
                continue
            if len(self._queue) >= self._most or item.rows[0].seq != owned.queued + 1:
                self._fall_behind(owned)
                continue
            output = item.change.output if item.change is not None else None
            for row in item.rows:
                its = output if row.kind == EventKind.RUN_SUCCEEDED else None
                self._queue.append((owned, LoggedRow(row.seq, row.kind, row.step_key, row.attempt, row.body, now, its)))
            owned.queued = owned.committed
            self._wake()

    def release(self, run_id: UUID) -> None:
        """The run ended, waits, or belongs to somebody else by now."""
        owned = self._runs.get(run_id)
        if owned is not None:
            owned.over = True
            if owned.behind and owned not in self._behind:
                del self._runs[run_id]  # it cannot be published
            else:
                self._leave(owned)

    def _fall_behind(self, owned: _Owned) -> None:
        owned.behind = True
        self._behind[owned] = None
        self._wake()

    def _wake(self) -> None:
        self._level.clear()
        self._some.set()

    def _leave(self, owned: _Owned) -> None:
        """Forgets a run that is over, once there is nothing of it here."""
        if owned.over and owned.published >= owned.committed:
            self._mark(owned)
            self._runs.pop(owned.run.run_id, None)

    def _mark(self, owned: _Owned) -> None:
        if owned.published > owned.marked:
            owned.marked = self._marks[owned.run.run_id] = owned.published
            self._wake()

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Until it is cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._some.wait()
            try:
                await self._turn()
                self._away.over()
                pause = _FIRST_PAUSE
            except Exception as wrong:  # noqa: BLE001 - what is published must not end because of one event
                self._away.met(wrong)
                self.counted.refused += 1
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    async def level(self, within: float) -> None:
        """Returns when everything is published and marked, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._level.wait()

    async def _turn(self) -> None:
        if self._queue:
            await self._publish_queued()
        if self._behind:
            await self._catch_up()
        wait = self._marked_at + _MARK_EVERY - self._clock.monotonic()
        if self._marks and wait <= 0:
            await self._write_marks()
        if not self._queue and not self._behind:
            self._some.clear()
            if self._marks:  # more runs end meanwhile: one statement for all of them
                asyncio.get_running_loop().call_later(max(wait, 0.001), self._some.set)
            else:
                self._level.set()

    async def _publish_queued(self) -> None:
        taken = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
        taken = [(owned, row) for owned, row in taken if not owned.behind and row.seq > owned.published]
        last = {owned: row.seq for owned, row in taken}
        try:
            await self._log.publish([logged_event(owned.run, row) for owned, row in taken])
        except BaseException as wrong:
            for owned in last:
                self._fall_behind(owned)
            if isinstance(wrong, Unavailable | NotFound) or not isinstance(wrong, Exception):
                raise
        else:
            self._have(last, len(taken))

    def _have(self, last: dict[_Owned, int], events: int) -> None:
        self.counted.events += events
        for owned, seq in last.items():
            owned.published = seq
            if owned.over:
                self._leave(owned)
            elif seq - owned.marked >= _MARK_EVENTS:
                self._mark(owned)

    async def _catch_up(self) -> None:
        """One page of each of some runs that are behind. Nothing of them is in the queue that is not passed over."""
        chosen = list(self._behind)[:_RUNS]
        for owned in chosen:
            del self._behind[owned]
            self._behind[owned] = None  # to the end: others have their turn
        await self._divided(chosen)

    async def _divided(self, chosen: list[_Owned]) -> None:
        """One of them that cannot be published is found, and left to the recorder, which tells of it."""
        try:
            await self._catch_up_with({owned.run.run_id: owned for owned in chosen})
        except (Unavailable, NotFound):
            raise
        except Exception as wrong:  # noqa: BLE001 - the edge of a run
            if len(chosen) > 1:
                half = len(chosen) // 2
                await self._divided(chosen[:half])
                await self._divided(chosen[half:])
                return
            self.counted.refused += 1
            run_id = chosen[0].run.run_id
            _LOG.error("run %s has an event that cannot be published: %s: %s", run_id, type(wrong).__name__, wrong)
            self._behind.pop(chosen[0], None)  # it stays behind: nothing more of it is published from here
            if chosen[0].over:
                self._runs.pop(run_id, None)

    async def _catch_up_with(self, some: dict[UUID, _Owned]) -> None:
        durable = {owned: owned.committed for owned in some.values()}
        events = await self._store.events({run_id: owned.published for run_id, owned in some.items()}, _PAGE)
        last: dict[_Owned, int] = {}
        for event in events:
            last[some[event.run_id]] = event.seq
        await self._log.publish(events)
        self.counted.read_again += len(events)
        self._have(last, len(events))
        for owned, committed in durable.items():
            gone = owned not in last and owned.committed == committed  # the ledger has no such run any more
            if owned.published >= owned.committed or gone:
                self._be_level(owned)

    def _be_level(self, owned: _Owned) -> None:
        self._behind.pop(owned, None)
        owned.behind = False
        owned.committed = owned.queued = owned.published
        self._leave(owned)

    async def _write_marks(self) -> None:
        marks, self._marks = self._marks, {}
        try:
            await self._store.mark(marks)
        except Unavailable:
            self._marks = {**marks, **self._marks}
            raise
        self._marked_at = self._clock.monotonic()

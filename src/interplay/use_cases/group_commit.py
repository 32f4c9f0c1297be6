"""Group commit: everything that finished since the last commit, of all runs, in one statement.

One commit is under way at a time; what arrives meanwhile goes with the next. There is no timer, so
an idle worker adds no delay and a busy one makes large batches. A batch whose answer got lost is sent
again, identical, until its outcome is known or the lease is over. A batch that the ledger refuses for a value in
it is divided until the item with that value is found: its run learns of it, the others are committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.ports.run_queue import (
    CommitBatch,
    JournalRow,
    RunChange,
    RunQueue,
    Standing,
    ValueRefused,
    WaitRow,
)
from interplay.use_cases.count_work import Counted

_LOG = logging.getLogger("interplay.worker")
MOST_ITEMS = 1024  # one statement is best up to about a thousand rows
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Verdict(Enum):
    DONE = "done"  # everything is durable
    REFUSED = "refused"  # the rows are durable, the change was not made: look again
    LOST = "lost"  # this worker no longer owns the run


@dataclass(slots=True)
class CommitItem:
    """What one run wants durable. From the committer either `done` is called, once, or `refused`, with why the
    ledger can never keep it; without a `refused` that counts as lost."""

    run_id: UUID
    rows: list[JournalRow]
    done: Callable[[Verdict, Standing | None], None]
    change: RunChange | None = None
    waits: list[WaitRow] = field(default_factory=list)
    waits_over: list[tuple[UUID, str]] = field(default_factory=list)
    refused: Callable[[str], None] | None = None


class GroupCommitter:
    """Commits for one worker id. After `lost`, every item gets Verdict.LOST."""

    def __init__(
        self,
        queue: RunQueue,
        worker_id: UUID,
        lease: float,
        on_lost: Callable[[], None],
        counted: Counted | None = None,
        on_durable: Callable[[Sequence[CommitItem]], None] | None = None,
    ) -> None:
        """`on_durable` is told of what is durable, before the items are."""
        self._queue = queue
        self._worker_id = worker_id
        self._lease = lease
        self._on_lost = on_lost
        self._on_durable = on_durable
        self.counted = counted or Counted()
        self._items: list[CommitItem] = []
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._barred: set[UUID] = set()  # runs with a refused item: what follows it must not be committed
        self.lost = False
        self.away = False  # the ledger did not answer since the last commit

    def put(self, item: CommitItem) -> None:
        if not self._items:
            self._settled.clear()
            self._wanted.set()
        self._items.append(item)

    async def settled(self) -> None:
        """Returns when nothing is left to commit."""
        await self._settled.wait()

    async def run(self) -> None:
        while True:
            await self._wanted.wait()
            items, self._items = self._items[:MOST_ITEMS], self._items[MOST_ITEMS:]
            if not self._items:
                self._wanted.clear()
            if self.lost:
                _tell(items, Verdict.LOST)
            elif items:
                await self._commit(items)
                self._barred.clear()
            if not self._items:
                self._settled.set()

    async def _commit(self, items: list[CommitItem]) -> None:
        batch = _batch_of(items)
        try:
            changed = await self._send(batch)
        except ValueRefused as refused:
            await self._divide(items, refused)
            return
        self.counted.commits += 1
        self.counted.items += len(items)
        if changed is None:
            self.lose()
            _tell(items, Verdict.LOST)
            return
        if self._on_durable is not None:
            self._on_durable(items)
        unchanged = [i.run_id for i in items if i.change is not None and i.run_id not in changed]
        standings = await self._standings(unchanged) if unchanged else {}
        for item in items:
            if item.change is None or item.run_id in changed:
                item.done(Verdict.DONE, None)
            else:
                self._settle(item, item.change, standings.get(item.run_id))

    async def _divide(self, items: list[CommitItem], refused: ValueRefused) -> None:
        """One of these has a value that can never be kept. The order of each run's items stays."""
        if len(items) == 1:
            self._refuse(items[0], refused)
            return
        half = len(items) // 2
        await self._commit(items[:half])
        rest = [item for item in items[half:] if item.run_id not in self._barred]
        _tell([item for item in items[half:] if item.run_id in self._barred], Verdict.LOST)
        if rest:
            await self._commit(rest)

    def _refuse(self, item: CommitItem, refused: ValueRefused) -> None:
        self._barred.add(item.run_id)
        later = [other for other in self._items if other.run_id == item.run_id]
        self._items = [other for other in self._items if other.run_id != item.run_id]
        _tell(later, Verdict.LOST)
        if item.refused is not None:
            item.refused(refused.detail)
        else:
            item.done(Verdict.LOST, None)

    def _settle(self, item: CommitItem, change: RunChange, standing: Standing | None) -> None:
        """A change that was not made: it may be done already (a batch sent twice), refused, or the run is gone."""
        if standing is None:
            item.done(Verdict.LOST, None)
        elif standing.fence == change.fence and standing.status is change.status:
            item.done(Verdict.DONE, standing)
        elif standing.fence == change.fence and standing.worker_id == self._worker_id:
            item.done(Verdict.REFUSED, standing)
        else:
            item.done(Verdict.LOST, standing)

    async def _send(self, batch: CommitBatch) -> frozenset[UUID] | None:
        """The runs changed; None when the lease is gone. Raises ValueRefused when it was refused twice."""
        resend, pause, renewed, refused = False, _FIRST_PAUSE, False, False
        while not self.lost:
            try:
                answer = await self._queue.commit(self._worker_id, batch, resend)
                if answer.alive:
                    self.away = False
                    return answer.changed
                if renewed or not (await self._queue.renew(self._worker_id, self._lease)).alive:
                    return None
                renewed = resend = True  # a statement that stalled past the lease errs on the safe side
            except ValueRefused:
                if refused:
                    raise
                refused = resend = True  # rows that are there already, or a plan that is out of date: not the values
            except Unavailable as away:
                if not self.away:
                    self.counted.away += 1
                    _LOG.warning("a commit waits for the ledger: %s", away.detail)
                resend = self.away = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        return None

    async def _standings(self, run_ids: list[UUID]) -> dict[UUID, Standing]:
        pause = _FIRST_PAUSE
        while not self.lost:
            try:
                return dict(await self._queue.standing(run_ids))
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        return {}

    def lose(self) -> None:
        """The lease is over: nothing of this worker id is committed any more."""
        if not self.lost:
            self.lost = True
            self._on_lost()


def _batch_of(items: list[CommitItem]) -> CommitBatch:
    batch = CommitBatch()
    waits: dict[tuple[UUID, str], WaitRow] = {}
    over: set[tuple[UUID, str]] = set()
    for item in items:
        batch.rows += item.rows
        if item.change is not None:
            batch.changes.append(item.change)
        if item.waits or item.waits_over:
            _waits_of(item, waits, over)
    if waits:
        ended = {change.run_id for change in batch.changes if change.status.ended}
        batch.waits = [wait for wait in waits.values() if wait.run_id not in ended]
    batch.waits_over = list(over)
    return batch


def _waits_of(item: CommitItem, waits: dict[tuple[UUID, str], WaitRow], over: set[tuple[UUID, str]]) -> None:
    """A wait that begins and ends in one batch leaves no row: one statement cannot insert a row and delete it."""
    for key in item.waits_over:
        waits.pop(key, None)
        over.add(key)
    for wait in item.waits:
        place = (wait.run_id, wait.step_key)
        waits[place] = wait
        over.discard(place)


def _tell(items: list[CommitItem], verdict: Verdict) -> None:
    for item in items:
        item.done(verdict, None)

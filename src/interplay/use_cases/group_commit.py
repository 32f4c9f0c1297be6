"""Group commit: everything that finished since the last commit, of all runs, in one statement.

One commit is under way at a time; what arrives meanwhile goes with the next. There is no timer, so
an idle worker adds no delay and a busy one makes large batches. A batch whose answer got lost is sent
again, identical, until its outcome is known or the lease is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.ports.run_queue import CommitBatch, JournalRow, RunChange, RunQueue, Standing, WaitRow

MOST_ITEMS = 1024  # one statement is best up to about a thousand rows
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Verdict(Enum):
    DONE = "done"  # everything is durable
    REFUSED = "refused"  # the rows are durable, the change was not made: look again
    LOST = "lost"  # this worker no longer owns the run


@dataclass(slots=True)
class CommitItem:
    """What one run wants durable. `done` is called once, from the committer."""

    run_id: UUID
    rows: list[JournalRow]
    done: Callable[[Verdict, Standing | None], None]
    change: RunChange | None = None
    waits: list[WaitRow] = field(default_factory=list)
    waits_over: list[tuple[UUID, str]] = field(default_factory=list)


class GroupCommitter:
    """Commits for one worker id. After `lost`, every item gets Verdict.LOST."""

    def __init__(self, queue: RunQueue, worker_id: UUID, lease: float, on_lost: Callable[[], None]) -> None:
        self._queue = queue
        self._worker_id = worker_id
        self._lease = lease
        self._on_lost = on_lost
        self._items: list[CommitItem] = []
        self._wanted = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self.lost = False
        self.commits = 0

    def put(self, item: CommitItem) -> None:
        self._items.append(item)
        self._settled.clear()
        self._wanted.set()

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
            else:
                await self._commit(items)
            if not self._items:
                self._settled.set()

    async def _commit(self, items: list[CommitItem]) -> None:
        batch = _batch_of(items)
        changed = await self._send(batch)
        self.commits += 1
        if changed is None:
            self.lose()
            _tell(items, Verdict.LOST)
            return
        unchanged = [i.run_id for i in items if i.change is not None and i.run_id not in changed]
        standings = await self._standings(unchanged) if unchanged else {}
        for item in items:
            if item.change is None or item.run_id in changed:
                item.done(Verdict.DONE, None)
            else:
                self._settle(item, item.change, standings.get(item.run_id))

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
        """The runs changed; None when the lease is gone."""
        resend, pause, renewed = False, _FIRST_PAUSE, False
        while not self.lost:
            try:
                answer = await self._queue.commit(self._worker_id, batch, resend)
                if answer.alive:
                    return answer.changed
                if renewed or not (await self._queue.renew(self._worker_id, self._lease)).alive:
                    return None
                renewed = resend = True  # a statement that stalled past the lease errs on the safe side
            except Unavailable:
                resend = True
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
    for item in items:
        batch.rows += item.rows
        if item.change is not None:
            batch.changes.append(item.change)
        if item.waits:
            batch.waits += item.waits
        if item.waits_over:
            batch.waits_over += item.waits_over
    return batch


def _tell(items: list[CommitItem], verdict: Verdict) -> None:
    for item in items:
        item.done(verdict, None)

"""Usage records on their way to the database: off the request path, in batches, through its outages.

A record waits at most `AFTER` seconds, or until `BATCH` of them are there. While the database is away, batches are
set aside on this machine's disk, and read back when it returns or at the next start; a record written twice counts
once, because its id is the same. What a process that is killed outright loses is what it had not written yet: the
records of the last `AFTER` seconds, plus those of the time that the write under way took.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import Final
from uuid import UUID

from interplay.core.errors import InterplayError, Unavailable
from interplay.core.models.usage_record import UsageRecord
from interplay.ports.clock import Clock
from interplay.ports.usage_spill import UsageSpill
from interplay.ports.usage_store import UsageStore

AFTER: Final = 0.2  # seconds
BATCH: Final = 2_000  # records in one statement
MOST: Final = 100_000  # records in memory
ANSWER: Final = 5.0  # seconds that a write may take
MOST_TOLD: Final = 1_000  # deployments without a price that the log names
RETRY: Final = 1.0  # seconds between two tries while the database is away
_LOG: Final = logging.getLogger("interplay.usage")


class UsageWriter:
    """`record` never waits and never fails. `lost` counts what found no room in memory nor on disk."""

    def __init__(self, store: UsageStore, spill: UsageSpill, clock: Clock, process_id: UUID) -> None:
        self._store = store
        self._spill = spill
        self._clock = clock
        self._process_id = process_id
        self._queue: deque[UsageRecord] = deque()
        self._some = asyncio.Event()
        self._many = asyncio.Event()
        self._retry_at = 0.0
        self._writing = asyncio.Lock()
        self._spilled = True  # perhaps: what an earlier process left
        self.lost = 0
        self.written = 0
        self._told: set[str] = set()
        self.unpriced = 0  # calls whose price is not known: somebody should be told

    def record(self, record: UsageRecord) -> None:
        """Takes a record along. Constant time."""
        queue = self._queue
        if not queue:
            self._some.set()
        elif len(queue) >= BATCH:
            self._many.set()
            if len(queue) >= MOST:
                self.lost += 1
                return
        queue.append(record)
        if record.usage.usd is None and not record.cached and record.usage.tokens:
            self.unpriced += 1
            if record.deployment not in self._told:
                self._tell(record)

    def _tell(self, record: UsageRecord) -> None:
        """Once for each deployment: somebody has to set its price."""
        if len(self._told) < MOST_TOLD:
            self._told.add(record.deployment)
            _LOG.warning(
                "no price is known, so calls have no cost and no budget counts them: `interplay prices create`",
                extra={"deployment": record.deployment, "model": record.alias, "project": record.project_id},
            )

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def run(self) -> None:
        """Until it is cancelled; then `close` brings the rest home."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY if self._spilled else None):
                    await self._some.wait()
            if self._queue:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(AFTER):
                        await self._many.wait()
            await self.flush()
            await self._bring_back()

    async def flush(self) -> None:
        """Writes what waits, or sets it aside; what another one is writing is written too when it returns."""
        async with self._writing:
            self._some.clear()
            self._many.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                try:
                    await self._keep(batch)
                except asyncio.CancelledError:
                    self._queue.extendleft(reversed(batch))  # perhaps written already: its ids say so
                    raise

    async def _keep(self, batch: list[UsageRecord]) -> None:
        if self._clock.monotonic() >= self._retry_at and await self._write(self._process_id, batch):
            return
        self._spilled = True
        if not await self._spill.append(self._process_id, batch):
            self.lost += len(batch)
            _LOG.error("usage records are lost: the database is away and there is no room on disk", extra={
                "records": len(batch), "lost": self.lost,
            })  # fmt: skip

    async def _write(self, process_id: UUID, batch: list[UsageRecord]) -> bool:
        try:
            async with asyncio.timeout(ANSWER):
                await self._store.write(process_id, batch)
        except (Unavailable, TimeoutError):
            self._retry_at = self._clock.monotonic() + RETRY
            return False
        except InterplayError as wrong:  # one record that cannot be kept does not stop the others
            if len(batch) == 1:
                self.lost += 1
                _LOG.error("a usage record cannot be kept: %s", wrong)
                return True
            middle = len(batch) // 2
            return await self._write(process_id, batch[:middle]) and await self._write(process_id, batch[middle:])
        self.written += len(batch)
        return True

    async def _bring_back(self) -> None:
        """What was set aside goes to the database, as long as nothing newer waits."""
        while self._spilled and not self._queue and self._clock.monotonic() >= self._retry_at:
            pages = await self._spill.pages()
            self._spilled = bool(pages)
            for page in pages:
                for start in range(0, len(page.records), BATCH):
                    if not await self._write(page.process_id, page.records[start : start + BATCH]):
                        return
                await self._spill.done(page.place)

    async def close(self) -> None:
        """At the end of the process: everything is in the database or on disk."""
        await self.flush()

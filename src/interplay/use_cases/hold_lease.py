"""A worker's lease: renewed by the ledger's clock, given up by the worker's own.

The event loop renews it, so a loop that is stuck does not. `expires` is the worker's own monotonic
deadline: counted from before the renewal was sent, so it is never later than the ledger's.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.ports.clock import Clock
from interplay.ports.run_queue import RenewAnswer, RunQueue

_PAUSE = 0.1  # seconds between two tries while the ledger is away


class Lease:
    """One worker id's lease of `seconds`."""

    def __init__(self, queue: RunQueue, clock: Clock, worker_id: UUID, seconds: float) -> None:
        self._queue = queue
        self._clock = clock
        self.worker_id = worker_id
        self.seconds = seconds
        self.expires = 0.0
        self.away = False  # the ledger did not answer since the last renewal

    @property
    def held(self) -> bool:
        return self._clock.monotonic() < self.expires

    @property
    def left(self) -> float:
        """Seconds; negative since it ran out."""
        return self.expires - self._clock.monotonic()

    async def take(self, pool: str, capacity: int) -> None:
        """Registers the worker; waits for the ledger as long as it takes."""
        while True:
            sent = self._clock.monotonic()
            try:
                await self._queue.register(self.worker_id, pool, capacity, self.seconds)
            except Unavailable as away:
                await asyncio.sleep(max(_PAUSE, away.retry_after))
                continue
            self.expires = sent + self.seconds
            return

    async def renew(self) -> RenewAnswer:
        """Renews; an answer that is not `alive` means that the lease is gone.

        While the ledger is away it tries again until the own deadline has passed. After that it goes
        on asking until the ledger answers: only the ledger says that a worker is dead.
        """
        while True:
            sent = self._clock.monotonic()
            try:
                async with asyncio.timeout(self.seconds):
                    answer = await self._queue.renew(self.worker_id, self.seconds)
            except (Unavailable, TimeoutError):
                self.away = True
                await asyncio.sleep(_PAUSE)
                continue
            if answer.alive:
                self.expires = sent + self.seconds
                self.away = False
            return answer

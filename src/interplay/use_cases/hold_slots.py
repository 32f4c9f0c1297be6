"""Slots of concurrency keys, held by the steps of one process over a ledger that does not always answer.

A step waits for its slot however long the ledger is away, and what it has done is never lost over giving the slot back.
What an answer that got lost may have left behind is looked for, and freed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.ports.clock import Clock
from interplay.ports.slots import Slots

_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between two looks for a free slot
_UNSURE: Final = 60.0  # seconds after a lost answer in which a statement may still be carried out


class HoldSlots:
    def __init__(self, slots: Slots, clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._numbers = itertools.count(1)
        self._holders: set[str] = set()  # that take a slot, have one, or give it back right now
        self._unsure_until = 0.0

    @contextlib.asynccontextmanager
    async def slot(
        self, project_id: int, key: str, concurrency: int, worker_id: UUID, whose: str
    ) -> AsyncIterator[None]:
        """Waits for a slot of the key, and holds it. Each time under a name of its own: whoever was taken for dead
        gives back what it held, and not what the next one holds for the same step."""
        holder = f"{whose}:{worker_id}:{next(self._numbers)}"
        self._holders.add(holder)
        try:
            pause = _PAUSE
            while not await self._take(project_id, key, concurrency, worker_id, holder):
                await self._clock.sleep_until(self._clock.monotonic() + pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
            yield
        finally:
            try:
                await asyncio.shield(self._release(project_id, key, holder))
            finally:
                self._holders.discard(holder)

    async def _take(self, project_id: int, key: str, concurrency: int, worker_id: UUID, holder: str) -> bool:
        try:
            return await self._slots.take(project_id, key, concurrency, worker_id, holder)
        except Unavailable:
            self._unsure()
            return False
        except asyncio.CancelledError:
            self._unsure()  # it may have been under way
            raise

    async def _release(self, project_id: int, key: str, holder: str) -> None:
        try:
            await self._slots.release(project_id, key, holder)
        except Unavailable:
            self._unsure()

    def _unsure(self) -> None:
        self._unsure_until = self._clock.monotonic() + _UNSURE

    async def tidy(self, worker_id: UUID) -> None:
        """Frees what this worker holds and no step of it knows of. Raises Unavailable."""
        if self._clock.monotonic() < self._unsure_until:
            for project_id, key, holder in await self._slots.held(worker_id):
                if holder not in self._holders:
                    await self._slots.release(project_id, key, holder)

"""Slots of a concurrency key: at most so many steps hold one at once, over all runs and workers."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class Slots(Protocol):
    """A holder is named once and never again: what comes late, for one that is gone, touches no other."""

    async def take(self, project_id: int, key: str, concurrency: int, worker_id: UUID, holder: str) -> bool:
        """True: `holder` has a slot (also when it had one before). A dead worker's slots are freed with it."""
        ...

    async def release(self, project_id: int, key: str, holder: str) -> None: ...

    async def held(self, worker_id: UUID) -> list[tuple[int, str, str]]:
        """Project, key and holder of each slot that a worker has: it may not have heard of all of them."""
        ...

"""Concurrency keys in memory."""

from __future__ import annotations

from uuid import UUID

from interplay.adapters.memory.ledger import MemoryLedger


class MemorySlots:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    async def take(self, project_id: int, key: str, concurrency: int, worker_id: UUID, holder: str) -> bool:
        if worker_id not in self._ledger.workers:
            return False
        holders = self._ledger.slots.setdefault((project_id, key), {})
        if holder not in holders and len(holders) >= concurrency:
            return False
        holders[holder] = worker_id
        return True

    async def release(self, project_id: int, key: str, holder: str) -> None:
        self._ledger.slots.get((project_id, key), {}).pop(holder, None)

    async def held(self, worker_id: UUID) -> list[tuple[int, str, str]]:
        return [
            (project_id, key, holder)
            for (project_id, key), holders in self._ledger.slots.items()
            for holder, owner in holders.items()
            if owner == worker_id
        ]

"""Records set aside in memory: for tests."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from interplay.core.models.usage_record import UsageRecord
from interplay.ports.usage_spill import SpilledPage


class MemoryUsageSpill:
    def __init__(self, most: int = 1000) -> None:
        self._most = most  # pages
        self._pages: dict[str, SpilledPage] = {}
        self._made = 0

    async def append(self, process_id: UUID, records: Sequence[UsageRecord]) -> bool:
        if len(self._pages) >= self._most:
            return False
        self._made += 1
        self._pages[str(self._made)] = SpilledPage(str(self._made), process_id, list(records))
        return True

    async def pages(self) -> list[SpilledPage]:
        return list(self._pages.values())

    async def done(self, place: str) -> None:
        self._pages.pop(place, None)

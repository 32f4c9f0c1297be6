"""Answers of shadow calls in memory."""

from __future__ import annotations

from collections import deque
from typing import Final

from interplay.core.models.comparison import Comparison

MOST: Final = 1_000  # of an alias


class MemoryComparisonStore:
    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], deque[Comparison]] = {}

    async def keep(self, project_id: int, comparison: Comparison) -> None:
        self._kept.setdefault((project_id, comparison.alias), deque(maxlen=MOST)).appendleft(comparison)

    async def newest(self, project_id: int, alias: str, limit: int) -> list[Comparison]:
        return list(self._kept.get((project_id, alias), ()))[:limit]

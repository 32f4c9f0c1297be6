"""Where the answers of shadow calls are kept."""

from __future__ import annotations

from typing import Protocol

from interplay.core.models.comparison import Comparison


class ComparisonStore(Protocol):
    async def keep(self, project_id: int, comparison: Comparison) -> None:
        """Implementations keep the newest of each alias, and forget the others."""
        ...

    async def newest(self, project_id: int, alias: str, limit: int) -> list[Comparison]:
        """Newest first."""
        ...

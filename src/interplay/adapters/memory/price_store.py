"""The price book in memory."""

from __future__ import annotations

from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.core.errors import NotFound
from interplay.core.models.pricing import PricePoint


class MemoryPriceStore:
    def __init__(self, ledger: MemoryConfigLedger) -> None:
        self._ledger = ledger

    async def put(self, point: PricePoint) -> None:
        if point.project_id not in self._ledger.projects:
            raise NotFound(f"There is no project {point.project_id}.", where="project")
        self._ledger.prices[point.project_id, point.target, point.valid_from] = point
        self._ledger.note("price", point.project_id, point.target)

    async def delete(self, project_id: int, target: str, valid_from: float) -> None:
        if self._ledger.prices.pop((project_id, target, valid_from), None) is None:
            raise NotFound(f"There is no price of {target!r} from then on.", where="price")
        self._ledger.note("price", project_id, target)

    async def prices(self, project_id: int) -> list[PricePoint]:
        own = [point for point in self._ledger.prices.values() if point.project_id == project_id]
        return sorted(own, key=lambda point: (point.target, point.valid_from))

"""The price book as it is kept: each price with the moment from which on it is valid."""

from __future__ import annotations

from typing import Protocol

from interplay.core.models.pricing import PricePoint


class PriceStore(Protocol):
    async def put(self, point: PricePoint) -> None:
        """The same target and moment again changes the price. Raises NotFound for a project that is not there."""
        ...

    async def delete(self, project_id: int, target: str, valid_from: float) -> None:
        """Raises NotFound."""
        ...

    async def prices(self, project_id: int) -> list[PricePoint]:
        """By target, then by time."""
        ...

"""Usage records set aside on this machine while the database is away. Bounded; survives the process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from interplay.core.models.usage_record import UsageRecord


@dataclass(frozen=True, slots=True)
class SpilledPage:
    """`place`: where it lies, for `done`. `process_id`: the process whose records these are."""

    place: str
    process_id: UUID
    records: list[UsageRecord]


class UsageSpill(Protocol):
    async def append(self, process_id: UUID, records: Sequence[UsageRecord]) -> bool:
        """Durable when it returns. False: it is full or cannot be written, and nothing was kept."""
        ...

    async def pages(self) -> list[SpilledPage]:
        """Some of what lies here and no living process still writes, oldest first; empty: nothing."""
        ...

    async def done(self, place: str) -> None:
        """Everything of this place is in the database: it may be removed."""
        ...

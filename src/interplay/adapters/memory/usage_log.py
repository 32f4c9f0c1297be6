"""Published usage, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from interplay.core.models.usage_record import UsageRecord


class MemoryUsageLog:
    def __init__(self) -> None:
        self.records: list[UsageRecord] = []

    async def publish(self, records: Sequence[UsageRecord]) -> None:
        self.records += records

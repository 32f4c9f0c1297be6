"""Where usage records are published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from interplay.core.models.usage_record import UsageRecord


class UsageLog(Protocol):
    async def publish(self, records: Sequence[UsageRecord]) -> None:
        """Returns when all of them are kept; a record that is published again is the same.

        Raises Unavailable (it is away), NotFound or InvalidInput (nothing can be published as it is set up).
        """
        ...

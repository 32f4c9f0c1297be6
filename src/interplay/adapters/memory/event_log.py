"""The event log in memory: what was published, in order."""

from __future__ import annotations

from collections.abc import Sequence

from interplay.core.runs.log import LoggedEvent


class MemoryEventLog:
    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        self.events += events

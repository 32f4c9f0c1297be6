"""Time, so that a test can hold it."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch: for people and for the journal, never for leases."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back: for durations and this process's own deadlines."""
        ...

    async def sleep_until(self, monotonic: float) -> None: ...

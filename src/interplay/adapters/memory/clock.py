"""The machine's clock, and one that a test holds."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """The machine's own functions, without a step of ours between: the gateway asks ten times a call."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep_until(self, monotonic: float) -> None:
        await asyncio.sleep(max(0.0, monotonic - time.monotonic()))


class ManualClock:
    """Stands still until `advance`; then whoever sleeps until a moment that has passed goes on."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep_until(self, monotonic: float) -> None:
        while self._now < monotonic:
            moved = self._moved
            await moved.wait()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

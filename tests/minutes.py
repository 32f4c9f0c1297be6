"""Limits count in minutes of the clock on the wall: a test whose calls must lie in one begins early in it."""

from __future__ import annotations

import asyncio
import time

MINUTE = 60.0  # seconds


async def within_a_minute(seconds: float = 10.0) -> None:
    """Comes back when at least so much is left of the minute: at once, or as soon as the next one begins."""
    left = MINUTE - time.time() % MINUTE
    if left < seconds:
        await asyncio.sleep(left)

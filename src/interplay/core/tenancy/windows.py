"""The clock windows that limits and budgets count in: the minute, day and month of UTC, all time, and `held`."""

from __future__ import annotations

import datetime
import math
from typing import Final

from interplay.core.tenancy.limits import Window

FOREVER: Final = math.inf
_SECONDS: Final = {"minute": 60, "day": 86_400}


def bounds(window: Window, epoch: float) -> tuple[int, float]:
    """When the window around this moment began, and when it ends; both in seconds since the epoch."""
    if window in _SECONDS:
        length = _SECONDS[window]
        start = int(epoch) // length * length
        return start, float(start + length)
    if window == "month":
        at = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
        start_at = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = (start_at + datetime.timedelta(days=32)).replace(day=1)
        return int(start_at.timestamp()), following.timestamp()
    return 0, FOREVER

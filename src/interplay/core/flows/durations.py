"""Durations as people write them: `500ms`, `2s`, `5m`, `4h`, `1d`, or plain seconds."""

from __future__ import annotations

import re
from typing import Any, Final

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d)\s*)+")
EXPECTED = "a duration such as 500ms, 2s, 5m, 4h, 1d or 1h30m, of ten years at most"
LONGEST: Final = 3650 * 86400.0  # ten years in seconds: more is a slip, and a date that no ledger can keep


def parse_duration(value: Any) -> float:
    """Seconds. Raises ValueError for anything that is not a duration, is negative, or over ten years."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST:
        return float(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))
        if seconds <= LONGEST:
            return seconds
    raise ValueError(f"{value!r} is not {EXPECTED}")


def format_duration(seconds: float) -> str | float:
    """The shortest way to write it that `parse_duration` reads back to the same number."""
    for unit in ("d", "h", "m", "s", "ms"):
        count = seconds / _UNITS[unit]
        text = f"{count:g}{unit}"
        if count >= 1 and count == int(count) and parse_duration(text) == seconds:
            return text
    return seconds

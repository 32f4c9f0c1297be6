"""Cron expressions of five fields: the one file that knows the library.

Only the calendar is the library's: it is asked about local times without a zone. What a zone makes of them is in
`fires.py`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from cronsim import CronSim, CronSimError

from interplay.core.errors import InvalidInput

_FIELDS: Final = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L for the last, LW for the last weekday",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7 (both ends are Sunday), or SUN to SAT; MON#1 for the first, 5L for the last",
}
_LAST: Final = 9000  # year: what calendars can do ends soon after
_LONGEST: Final = 500  # characters
_ANY_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a local time of no zone
_NAMED: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


class Cron:
    """An expression. `hourly`: it names no hour, so it goes by the clock's minutes, whatever the hour is called."""

    __slots__ = ("_text", "hourly", "text")

    def __init__(self, text: str, plain: str) -> None:
        self.text = text
        self._text = plain
        self.hourly = len(CronSim(plain, _ANY_DAY).hours) == 24

    def after(self, local: datetime) -> Iterator[datetime]:
        """The local times behind this one, in order, without a zone. Ends where none comes in 50 years."""
        return itertools.takewhile(lambda at: at.year < _LAST, CronSim(self._text, local))


@functools.lru_cache(4096)
def parse_cron(text: str) -> Cron:
    """Raises InvalidInput that names the field, what it may hold, and what was found."""
    plain = _NAMED.get(text.strip().lower(), text)
    if text.strip().startswith("@") and plain is text:
        raise _wrong(f"{text!r} is no cron expression.", f"There are {', '.join(_NAMED)}; or write five fields.")
    fields = plain.split()
    if len(fields) != 5 or len(text) > _LONGEST:
        advice = "Write minute, hour, day of month, month, day of week: `30 2 * * 1-5` is half past two on weekdays."
        raise _wrong(f"A cron expression has five fields, and {text[:100]!r} has {len(fields)}.", advice)
    try:
        cron = Cron(text, plain)
    except CronSimError as wrong:
        name = str(wrong).removeprefix("Bad ")
        found = dict(zip(_FIELDS, fields, strict=True)).get(name, text)
        raise _wrong(
            f"The {name.replace('-', ' ')} {found!r} of {text!r} is not possible.",
            f"It may be {_FIELDS.get(name, 'as crontab(5) says')}; lists (1,2), ranges (1-5), steps (*/5), or *.",
        ) from None
    if next(cron.after(_ANY_DAY), None) is None:
        raise _wrong(f"{text!r} never comes.", "No month that it names has such a day.")
    return cron


def _wrong(detail: str, advice: str) -> InvalidInput:
    return InvalidInput(detail, where="cron", advice=advice)

"""When a schedule fires: the moments that a cron expression means in a zone.

Two days a year need a rule, those on which the clocks are put forward or back:

* a local time that does not exist fires at the first moment after the gap; several such times fire there once;
* a local time that comes twice fires the first time only. An expression that names no hour (`*/5 * * * *`) goes on
  through both passes: every five minutes stays every five minutes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from interplay.core.schedules.cron import Cron
from interplay.core.schedules.zones import first_moment, local_of, second_moment


def next_fire(cron: Cron, zone: ZoneInfo, after: float) -> float:
    """The first moment behind `after` at which it fires, in seconds since the epoch; infinity: never again."""
    local = local_of(after, zone)
    found = float("inf")
    for at in cron.after(local.replace(tzinfo=None, fold=0)):
        moment = first_moment(at, zone)
        if moment > after:  # in the second pass of an hour, the first lies behind us
            found = moment
            break
    if cron.hourly:
        found = min(found, _repeated(cron, zone, local, after))
    return found


def _repeated(cron: Cron, zone: ZoneInfo, local: datetime, after: float) -> float:
    """The first fire behind `after` in the second pass of an hour that comes twice, asked from within such an hour.

    From elsewhere the first pass has an earlier one.
    """
    wall = local.replace(tzinfo=None, fold=0)
    again = second_moment(wall, zone)
    if again is None:
        return float("inf")
    put_back = timedelta(seconds=again - first_moment(wall, zone))
    begin = wall if local.fold else wall - put_back - timedelta(seconds=1)
    for at in cron.after(begin):
        moment = second_moment(at, zone)
        if moment is not None and moment > after:
            return moment
        if at > wall:
            break
    return float("inf")


def fires(cron: Cron, zone: ZoneInfo, after: float) -> Iterator[float]:
    """All moments behind `after`, in order."""
    while (after := next_fire(cron, zone, after)) != float("inf"):
        yield after


def latest_fires(cron: Cron, zone: ZoneInfo, since: float, before: float, most: int) -> list[float]:
    """Of the fires from `since` (inclusive) to `before` (exclusive) the last `most`, in order."""
    if most <= 0:
        return []
    window = 60.0
    while True:
        begin = max(since, before - window)
        found = list(itertools.takewhile(lambda at: at < before, fires(cron, zone, begin - 1e-3)))
        if len(found) >= most or begin <= since:
            return found[-most:]
        window *= 2


def shown(moment: float, zone: ZoneInfo) -> str:
    """As RFC 3339 writes it, with what the clocks say there: `2026-03-29T03:00:00+02:00`."""
    at = datetime.fromtimestamp(moment, UTC).astimezone(zone)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds")

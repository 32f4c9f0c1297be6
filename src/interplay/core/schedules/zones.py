"""Time zones by their IANA names, and what they make of local times.

The table of zones is the machine's, or that of the package `tzdata`; each zone is read once a process.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Final

from interplay.core.errors import InvalidInput, near_names

_SECOND: Final = timedelta(seconds=1)


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """Raises InvalidInput, with the names nearest to what was asked for."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        by_place = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
        near = near_names(name, known) or [by_place[place] for place in near_names(name, by_place)]
        meant = f"Did you mean {' or '.join(repr(zone) for zone in near)}? " if near else ""
        raise InvalidInput(
            f"{name[:100]!r} is no time zone.",
            where="zone",
            advice=f"{meant}Zones have names of the IANA, such as Europe/Berlin, America/New_York or UTC.",
        ) from None


def local_of(moment: float, zone: zoneinfo.ZoneInfo) -> datetime:
    """What the clocks on the wall say; `fold` 1 in the second pass of an hour that comes twice."""
    return datetime.fromtimestamp(moment, zone)


def first_moment(local: datetime, zone: zoneinfo.ZoneInfo) -> float:
    """When the clocks first say this. Where they never do, because they are put forward over it: the first moment
    after the gap."""
    at = local.replace(tzinfo=zone, fold=0)
    before, after = _offset(at), _offset(at.replace(fold=1))
    if after <= before:
        return at.timestamp()
    low = _instant(local, after)  # before the clocks are put forward
    high = _instant(local, before)  # behind it
    while high - low > _SECOND:
        middle = low + (high - low) // (2 * _SECOND) * _SECOND
        if _offset(middle.astimezone(zone)) == before:
            low = middle
        else:
            high = middle
    return high.timestamp()


def second_moment(local: datetime, zone: zoneinfo.ZoneInfo) -> float | None:
    """When the clocks say this again, because they were put back; None where they say it once at most."""
    at = local.replace(tzinfo=zone, fold=1)
    return at.timestamp() if _offset(at) < _offset(at.replace(fold=0)) else None


def _offset(at: datetime) -> timedelta:
    offset = at.utcoffset()
    assert offset is not None
    return offset


def _instant(local: datetime, offset: timedelta) -> datetime:
    return (local - offset).replace(tzinfo=UTC)

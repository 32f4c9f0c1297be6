"""What is to be done about a schedule whose time has come. Pure: times in, decisions out.

A fire is on time when it is made within `GRACE` of its moment; what is later was missed, and `catch_up` says which of
the missed ones are made up for: none, the last (unless one is on time), or all up to a bound, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from interplay.core.schedules.fires import latest_fires, next_fire
from interplay.core.schedules.schedule import Overlap, Schedule
from interplay.core.schedules.zones import zone_of

GRACE: Final = 60.0  # seconds
Meeting = Literal["run", "skip", "wait", "cancel", "later"]


@dataclass(frozen=True, slots=True)
class Due:
    """`was`: the `next_at` that it is about. `fire`: the moment to make now, None when all were missed. `next_at`: when
    it is due again. `missed`: the first of those that are given up."""

    was: float
    fire: float | None
    next_at: float
    missed: float | None = None


def due_fires(schedule: Schedule, next_at: float, now: float, most: int) -> list[Due]:
    """The first `most` things to do, one after the other, for a schedule whose `next_at` is not after `now`."""
    cron, zone = schedule.times, zone_of(schedule.zone)
    first = _first(schedule, next_at, now)
    if first > now:
        return [Due(next_at, None, first, next_at)]
    missed = next_at if first != next_at else None
    found = [Due(next_at, first, next_fire(cron, zone, first), missed)]
    while len(found) < most and (at := found[-1].next_at) <= now:
        found.append(Due(at, at, next_fire(cron, zone, at)))
    return found


def _first(schedule: Schedule, next_at: float, now: float) -> float:
    """The first fire that is made, which may lie ahead."""
    cron, zone = schedule.times, zone_of(schedule.zone)
    late = now - GRACE
    if next_at >= late:
        return next_at
    on_time = next_fire(cron, zone, late - 1e-3)
    if schedule.catch_up == "none" or (schedule.catch_up == "last" and on_time <= now):
        return on_time
    most = 1 if schedule.catch_up == "last" else schedule.most
    kept = latest_fires(cron, zone, next_at, late, most)
    return kept[0] if kept else on_time  # none: the zone's rules have changed since


def next_time(schedule: Schedule, now: float) -> float:
    """When a schedule that begins now is due first."""
    return next_fire(schedule.times, zone_of(schedule.zone), now)


def changed_time(before: Schedule, after: Schedule, next_at: float, now: float) -> float:
    """When a schedule is due that was changed: with the same times what is due, and what was missed, stays."""
    same = (before.cron, before.zone) == (after.cron, after.zone)
    return next_at if same else next_time(after, now)


def meeting(overlap: Overlap, open_runs: int, waiting: bool) -> Meeting:
    """What a fire does that finds so many runs of earlier ones; `waiting`: another one waits for their end already.

    `later`: that other one's time has come, and it goes first.
    """
    if overlap == "allow":
        return "run"
    if overlap == "queue":
        if open_runs:
            return "skip" if waiting else "wait"
        return "later" if waiting else "run"
    if not open_runs:
        return "run"
    return "skip" if overlap == "skip" else "cancel"

"""Answers about schedules."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class Schedule(TypedDict):
    """When a flow is to run. Times are seconds since the epoch."""

    schedule: str
    """Its id, a UUID."""
    name: str
    cron: str
    """Minute, hour, day of month, month, day of week, by the clocks of `zone`."""
    zone: str
    """A time zone's IANA name."""
    flow: str
    channel: str | None
    version: str | None
    inputs: dict[str, Any]
    """As they are written: `$fire.…` and expressions are worked out at each fire."""
    overlap: Literal["allow", "skip", "queue", "cancel_other"]
    """What a fire does that meets a run of an earlier one."""
    catch_up: Literal["none", "last", "all"]
    """Which of the fires are made up for that nobody made in their time."""
    most: int
    """How many of them at most."""
    paused: bool
    next_at: float | None
    """When it is due; None while it is paused."""
    waiting_for: float | None
    """The moment of the fire that waits for the end of an earlier run."""
    key: str | None
    """The id of the key that its runs count on."""
    created_at: float
    changed_at: float


class SchedulePut(Schedule):
    """A schedule that was put."""

    created: bool
    """False: it was there; it was changed, or is as it was."""


class SchedulePage(TypedDict):
    """Schedules by name."""

    items: list[Schedule]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class ScheduleMoment(TypedDict):
    """One of the moments ahead."""

    at: float
    """Seconds since the epoch."""
    local: str
    """What the clocks of its zone say then, as RFC 3339 writes it."""


class SchedulePreview(TypedDict):
    """The moments ahead, in order."""

    items: list[ScheduleMoment]
    next: None


class ScheduleFired(TypedDict):
    """A run that was started beside the schedule's times."""

    schedule: str
    """The schedule's name."""
    run: str
    new: bool
    """False: a request with the same idempotency key had started it."""


class ScheduleFire(TypedDict):
    """What came of one fire. Times are seconds since the epoch."""

    scheduled_for: float
    at: float
    """When it was made, or given up."""
    outcome: Literal["run", "waits", "skipped", "missed", "failed"]
    run: str | None
    manual: bool
    """Somebody asked for it, beside the schedule's times."""
    detail: str | None
    """Why it started nothing."""


class ScheduleFirePage(TypedDict):
    """Fires of a schedule, the latest first."""

    items: list[ScheduleFire]
    next: str | None
    """The `cursor` of the following page; None on the last."""

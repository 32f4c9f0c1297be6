"""A schedule as people write it, and whether it can be kept."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, get_args

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.storable import unstorable
from interplay.core.schedules.cron import Cron, parse_cron
from interplay.core.schedules.zones import zone_of

Overlap = Literal["allow", "skip", "queue", "cancel_other"]
CatchUp = Literal["none", "last", "all"]
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")
MOST: Final = 1000  # fires that are made up for


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`inputs` may hold `$fire.scheduled_for` and expressions over `fire`. `overlap`: what a fire does that meets a
    run of an earlier one. `catch_up`: which of the fires are made up for that nobody made in their time, `most` of
    them at most."""

    cron: str
    flow: str
    zone: str = "UTC"
    channel: str | None = None
    version: str | None = None
    inputs: dict[str, Any] = {}
    overlap: Overlap = "skip"
    catch_up: CatchUp = "last"
    most: int = 100

    @property
    def times(self) -> Cron:
        return parse_cron(self.cron)


def checked(schedule: Schedule) -> Schedule:
    """Raises InvalidInput for what cannot be kept."""
    parse_cron(schedule.cron)
    zone_of(schedule.zone)
    if schedule.channel is not None and schedule.version is not None:
        raise InvalidInput("A schedule names a channel or a version, not both.", where="version")
    for field, value, choices in (
        ("overlap", schedule.overlap, get_args(Overlap)),
        ("catch_up", schedule.catch_up, get_args(CatchUp)),
    ):
        if value not in choices:
            raise InvalidInput(f"{value!r} is no {field}.", where=field, advice=f"One of {', '.join(choices)}.")
    if not 1 <= schedule.most <= MOST:
        raise InvalidInput(f"`most` is {schedule.most}.", where="most", advice=f"From 1 to {MOST:,}.")
    texts = [schedule.flow, schedule.channel, schedule.version, schedule.inputs]
    if wrong := unstorable(texts, "The schedule"):
        raise InvalidInput(f"{wrong}.", where="inputs")
    return schedule


def checked_name(name: str) -> str:
    """Raises InvalidInput."""
    if NAME.fullmatch(name) is None:
        advice = "Small letters, digits, and . _ - between them, at most 100."
        raise InvalidInput(f"{name[:120]!r} is no name of a schedule.", where="name", advice=advice)
    return name

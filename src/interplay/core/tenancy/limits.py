"""Limits and budgets, and the one mechanism under both: a meter counts something up to a cap in a window."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

What = Literal["requests", "tokens", "usd", "concurrency"]
Window = Literal["minute", "day", "month", "total", "held"]
Period = Literal["day", "month", "total"]
MICROS: Final = 1_000_000  # micro-dollars in a dollar
Count = Annotated[int, Meta(ge=0, le=10**15)]
_WINDOW: Final[dict[str, Window]] = {"requests": "minute", "tokens": "minute", "concurrency": "held"}


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Requests and tokens a minute, calls at once. None: no limit."""

    requests: Count | None = None
    tokens: Count | None = None
    concurrency: Count | None = None


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The most US dollars in a day or month (UTC), or ever."""

    usd: Annotated[float, Meta(ge=0, le=1e9)]
    period: Period = "month"


class Meter(msgspec.Struct, frozen=True, gc=False):
    """`cap` in micro-dollars for `usd`. `window`: the clock minute, day or month (UTC), all time, or `held`
    (given back when the call ends). `subject`: whom it limits, for people."""

    meter_id: str
    what: What
    cap: int
    window: Window
    subject: str


def limit_meters(kind: str, name: str, limits: Limits, subject: str = "") -> tuple[Meter, ...]:
    """The meters of one thing's limits. `kind`: `key`, `project`, `model` or `deployment`; `name` is unique in it."""
    return tuple(
        Meter(f"{what}:{kind}:{name}", what, cap, _WINDOW[what], subject or f"{kind} {name}")
        for what in ("requests", "tokens", "concurrency")
        if (cap := getattr(limits, what)) is not None
    )


def budget_meters(kind: str, name: str, budgets: tuple[Budget, ...], subject: str = "") -> tuple[Meter, ...]:
    """The meters of one thing's budgets. `kind`: `organisation`, `project` or `key`."""
    return tuple(
        Meter(f"usd:{kind}:{name}:{b.period}", "usd", round(b.usd * MICROS), b.period, subject or f"{kind} {name}")
        for b in budgets
    )


def micros_of(usd: float) -> int:
    """Micro-dollars, rounded up: what was spent is never counted as less."""
    exact = usd * MICROS
    whole = int(exact)
    return whole if whole >= exact else whole + 1

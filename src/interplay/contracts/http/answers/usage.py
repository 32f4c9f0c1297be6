"""Answers about what was used, and prices."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from interplay.contracts.http.answers.models import Price

UsageGroup = Literal["project", "key", "model", "deployment", "flow", "day"]


class Tokens(TypedDict):
    """Tokens as the upstream counted them."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    """Part of the input tokens, as are those of images and audio."""
    reasoning_tokens: int
    """Part of the output tokens."""
    image_tokens: int
    audio_tokens: int
    usd: float | None
    """US dollars of what has a known price; None where nothing has."""


class UsageSum(Tokens):
    """What calls used, added up. It has the keys that it is grouped by."""

    project: NotRequired[str | None]
    key: NotRequired[str | None]
    model: NotRequired[str | None]
    deployment: NotRequired[str | None]
    flow: NotRequired[str | None]
    day: NotRequired[str | None]
    """Of UTC: `2030-01-31`."""
    calls: int
    failed: int
    cache_hits: int
    unpriced: int
    """How many calls are not in `usd`."""
    estimated: int
    """How many calls have tokens that are estimated."""
    seconds: float


class UsagePage(TypedDict):
    """Sums, one for each group."""

    items: list[UsageSum]
    next: None


class CallUsage(Tokens):
    """What one call used."""

    calls: int


class UsageRecord(TypedDict):
    """One call. Times are seconds since the epoch."""

    record_id: str
    at: float
    project_id: int
    key_id: str | None
    alias: str
    deployment: str
    """`connection/model`."""
    flow: str
    run_id: str | None
    status: int
    outcome: str
    """`ok`, or a failure's code."""
    usage: CallUsage
    seconds: float
    first_token: float | None
    """Seconds until the first content of a stream."""
    cached: Literal["", "exact", "semantic"]
    """Which cache answered."""
    attempts: int
    estimated: bool
    """The upstream did not count: the tokens, and so the cost, are estimated from the length of what was said."""


class UsageRecordPage(TypedDict):
    """Calls, newest first."""

    items: list[UsageRecord]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class PricePoint(Price):
    """A price from a moment on."""

    target: str
    """`connection/model`, or an alias."""
    valid_from: float
    """Seconds since the epoch."""


class PricePage(TypedDict):
    """The price book, by target and time."""

    items: list[PricePoint]
    next: None


class PriceChanged(TypedDict):
    """A price that was set, or taken out."""

    target: str
    valid_from: float
    derived: int
    """How many calls were priced anew."""

"""What an answer of a receiver means: it is delivered, tried again and when, dead, or nobody wants it any more."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from interplay.core.failures import storable_text

WAITS: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 18_000.0)  # seconds before the second try and each after it
JITTER: Final = 0.2  # of each wait, so that what failed together does not come back together
LONGEST_WISH: Final = 6 * 3600.0  # seconds of a Retry-After that is heeded
OLDEST: Final = 3 * 86_400.0  # seconds after which nothing is tried any more
BEHIND: Final = 10.0  # seconds for each round without a success, of so many at most
MOST_BEHIND: Final = 6
REST_AFTER: Final = 5  # rounds without a success, then a webhook rests
FIRST_REST, LONGEST_REST = 10.0, 300.0  # seconds
_GONE: Final = 410
_WISHES: Final = frozenset({429, 503})  # a Retry-After of these is about the receiver, not about this message
_MOST_EXCERPT: Final = 200  # characters of an answer that are kept
_MOST_REASON: Final = 500  # characters of why there was none
State = Literal["delivered", "waits", "dead"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of one try. `status` None: no answer, and `detail` says why. `retry_after` in seconds."""

    status: int | None
    detail: str = ""
    retry_after: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`after`: seconds until the next try. `rest`: seconds that the whole webhook is left alone. `gone`: it is not to
    be called again."""

    state: State
    detail: str | None = None
    after: float = 0.0
    rest: float = 0.0
    gone: bool = False


def verdict(heard: Heard, attempt: int, chance: float, waits: Sequence[float] = WAITS) -> Verdict:
    """`attempt`: which try this was, from 1. `chance`: in [0, 1)."""
    if heard.status is not None and 200 <= heard.status < 300:
        return Verdict("delivered")
    said = reason(heard)
    if heard.status == _GONE:
        return Verdict("dead", f"{said} It said that it wants nothing more, so the webhook is disabled.", gone=True)
    wish = min(heard.retry_after or 0.0, LONGEST_WISH)
    rest = wish if heard.status in _WISHES else 0.0
    if attempt > len(waits):
        return Verdict("dead", f"{said} That was try {attempt}, the last.", rest=rest)
    wait = waits[attempt - 1] * (1 + JITTER * (2 * chance - 1))
    return Verdict("waits", said, max(wait, wish), rest)


def reason(heard: Heard) -> str:
    """In words that can be kept."""
    if heard.status is None:
        return storable_text(heard.detail).replace("\x00", "")[:_MOST_REASON]
    what = "a redirect, which is not followed" if 300 <= heard.status < 400 else f"{heard.status}"
    return f"The receiver answered {what}{': ' + heard.detail if heard.detail else ''}."


def behind(failures: int) -> float:
    """Seconds that deliveries of a webhook stand behind others that became due at the same time. Bounded: what fails
    has its turn, however busy the others are."""
    return BEHIND * min(failures, MOST_BEHIND)


def resting(failures: int) -> float:
    """Seconds that a webhook is left alone after so many rounds without a success."""
    if failures < REST_AFTER:
        return 0.0
    return float(min(LONGEST_REST, FIRST_REST * 2 ** min(failures - REST_AFTER, 10)))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The wish of an answer, in seconds or as a date. `headers`: by names in small letters."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now) if text else None
    except (ValueError, TypeError, OverflowError):
        return None


def excerpt(body: bytes) -> str:
    """How an answer begins, for people."""
    text = body[: 4 * _MOST_EXCERPT].decode("utf-8", "replace").replace("\x00", "")
    return " ".join(text.split())[:_MOST_EXCERPT]

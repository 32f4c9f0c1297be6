"""What an upstream's refusal means, in the codes that policies know."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final

from interplay.core.failures import Failure
from interplay.core.models.wire import error_in

_BY_STATUS: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    408: "timeout",
    409: "unavailable",
    413: "context_too_long",
    422: "bad_request",
    424: "unavailable",
    425: "unavailable",
    429: "rate_limited",
    504: "timeout",
}
_TOO_LONG: Final = (
    "context_length_exceeded", "context length", "context window", "maximum context", "too many tokens",
    "prompt is too long", "input is too long", "maximum number of tokens", "token limit", "reduce the length",
)  # fmt: skip
FILTERED: Final = (
    "content_filter",
    "content filter",
    "content_policy",
    "content management policy",
    "guardrail",
    "responsible ai",
)


def code_of(status: int, said: str) -> str:
    """`said`: the error's own code and message."""
    return closer(_BY_STATUS.get(status, "unavailable" if status >= 500 else "bad_request"), said)


def closer(code: str, said: str) -> str:
    """Of a request that was refused as wrong, what its words say was wrong with it."""
    if code == "bad_request":
        text = said.lower()
        if any(sign in text for sign in _TOO_LONG):
            return "context_too_long"
        if any(sign in text for sign in FILTERED):
            return "content_filtered"
    return code


def refusal(who: str, status: int, body: bytes, wish: bytes | None, now: float) -> Failure:
    """The failure for an answer with an error status. `wish`: its Retry-After; `now`: seconds since the epoch."""
    code, message = error_in(body)
    detail = f"{who} answered {status}: {message or 'no reason given'}"
    return Failure(code_of(status, f"{code} {message}"), detail[:1000], retry_after=seconds_of(wish, now))


def seconds_of(wish: bytes | None, now: float) -> float | None:
    """Retry-After in seconds, from a number or a date."""
    if wish is None:
        return None
    text = wish.decode("latin-1").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None

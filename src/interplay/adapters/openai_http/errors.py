"""What upstreams answer when they refuse, as the codes that policies know."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from interplay.core.failures import StepFailure

_BY_STATUS = {
    400: "bad_request",
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    408: "timeout",
    409: "unavailable",
    413: "context_too_long",
    422: "bad_request",
    425: "unavailable",
    429: "rate_limited",
    504: "timeout",
}
_TOO_LONG = ("context_length_exceeded", "context length", "maximum context", "too many tokens")
_FILTERED = ("content_filter", "content_policy", "content management policy")


def refused(status: int, headers: httpx.Headers, body: bytes, who: str) -> StepFailure:
    """The failure for an answer with an error status."""
    code, message = _read(body)
    kind = _BY_STATUS.get(status, "unavailable" if status >= 500 else "bad_request")
    text = f"{code} {message}".lower()
    if kind == "bad_request" and any(sign in text for sign in _TOO_LONG):
        kind = "context_too_long"
    elif kind == "bad_request" and any(sign in text for sign in _FILTERED):
        kind = "content_filtered"
    detail = f"{who} answered {status}: {message or 'no reason given'}"
    return StepFailure(kind, detail[:1000], retry_after=retry_after(headers))


def _read(body: bytes) -> tuple[str, str]:
    try:
        error = json.loads(body).get("error", {})
    except (ValueError, AttributeError):
        return "", body[:300].decode("utf-8", "replace").strip()
    if isinstance(error, str):
        return "", error
    if not isinstance(error, dict):
        return "", ""
    return str(error.get("code") or error.get("type") or ""), str(error.get("message") or "")


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds, from a number or a date."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def transport(error: httpx.HTTPError, who: str) -> StepFailure:
    """The failure for an answer that did not come, or not whole."""
    if isinstance(error, httpx.TimeoutException):
        return StepFailure("timeout", f"{who} did not answer in time ({type(error).__name__}).")
    if isinstance(error, httpx.ConnectError):
        return StepFailure("unavailable", f"{who} cannot be reached: {error}.")
    return StepFailure("unavailable", f"The connection to {who} broke: {type(error).__name__} {error}.")


def malformed(who: str, what: Any) -> StepFailure:
    return StepFailure("unavailable", f"{who} answered something that is no answer: {str(what)[:300]}")

"""What upstreams answer when they refuse, as the codes that policies know."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from interplay.core.failures import StepFailure
from interplay.core.models.refusals import code_of, seconds_of
from interplay.core.models.usage import Usage
from interplay.core.unreached import how_it_broke


def refused(status: int, headers: httpx.Headers, body: bytes, who: str) -> StepFailure:
    """The failure for an answer with an error status."""
    code, message = _read(body)
    kind = code_of(status, f"{code} {message}")
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
    return seconds_of(value.encode("latin-1", "replace") if value is not None else None, time.time())


def transport(error: httpx.HTTPError, who: str, *, begun: bool = False, connect: float | None = None) -> StepFailure:
    """The failure for an answer that did not come, or not whole. `begun`: a part of it was there. `connect`: how many
    seconds a connection could take."""
    if isinstance(error, httpx.PoolTimeout):
        return StepFailure(
            "timeout", f"{who} has all its connections in use, and none was free in time.", usage=Usage()
        )
    if isinstance(error, httpx.ConnectTimeout):
        limit = "in time" if connect is None else f"within {connect:g} s"
        return StepFailure("timeout", f"{who} could not be reached {limit}.", usage=Usage())
    if isinstance(error, httpx.TimeoutException):
        what = "went silent in the middle of its answer" if begun else "did not answer"
        return StepFailure("timeout", f"{who} {what} in time.")
    return StepFailure("unavailable", how_it_broke(error, who, begun=begun))


def malformed(who: str, what: Any) -> StepFailure:
    return StepFailure("unavailable", f"{who} answered something that is no answer: {str(what)[:300]}")

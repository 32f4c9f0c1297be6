"""Errors in OpenAI's shape, each with its true status and code, as an answer or in a stream; decided in one table."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec

from interplay.core.errors import (
    BudgetReached,
    Conflict,
    Forbidden,
    InputTooLarge,
    InterplayError,
    InvalidInput,
    LimitReached,
    NotFound,
    SetupError,
    Unauthorized,
    Unavailable,
)
from interplay.core.failures import Failure, StepFailure

Pair = tuple[bytes, bytes]
_ENCODE: Final = msgspec.json.Encoder().encode
# status, OpenAI's type, OpenAI's code where it has one
STATUS: Final[tuple[tuple[type[InterplayError], int, str, str | None], ...]] = (
    (Unauthorized, 401, "authentication_error", "invalid_api_key"),
    (Forbidden, 403, "permission_error", None),
    (NotFound, 404, "invalid_request_error", "model_not_found"),
    (InputTooLarge, 413, "invalid_request_error", "request_too_large"),
    (InvalidInput, 400, "invalid_request_error", None),
    (LimitReached, 429, "rate_limit_error", "rate_limit_exceeded"),
    (BudgetReached, 402, "insufficient_quota", "budget_exceeded"),
    (Conflict, 409, "invalid_request_error", None),
    (Unavailable, 503, "server_error", "unavailable"),
    (SetupError, 500, "server_error", None),
    (InterplayError, 500, "server_error", "internal"),
)
# what an upstream did; credentials that it refuses are ours, so its 401 and 404 are no answer to the caller
FAILED: Final[dict[str, tuple[int, str, str]]] = {
    "bad_request": (400, "invalid_request_error", "bad_request"),
    "context_too_long": (400, "invalid_request_error", "context_length_exceeded"),
    "content_filtered": (400, "invalid_request_error", "content_filter"),
    "rate_limited": (429, "rate_limit_error", "rate_limit_exceeded"),
    "budget_exceeded": (402, "insufficient_quota", "budget_exceeded"),
    "unavailable": (503, "server_error", "upstream_unavailable"),
    "timeout": (504, "server_error", "upstream_timeout"),
    "unauthorized": (502, "server_error", "upstream_unauthorized"),
    "not_found": (502, "server_error", "upstream_not_found"),
    "egress_refused": (502, "server_error", "egress_refused"),
    "flow_failed": (500, "server_error", "flow_failed"),
    "run_cancelled": (409, "invalid_request_error", "run_cancelled"),
    "rejected": (409, "invalid_request_error", "rejected"),
    "deadline_exceeded": (504, "server_error", "deadline_exceeded"),
    "output_too_large": (502, "server_error", "answer_too_large"),
}
_OURS: Final = (500, "server_error", "internal")


def described(wrong: InterplayError | Failure) -> tuple[int, str, str | None]:
    """Status, type and code."""
    if isinstance(wrong, StepFailure):
        wrong = wrong.failure
    if isinstance(wrong, Failure):
        return FAILED.get(wrong.code, _OURS)
    return next((status, kind, code) for cls, status, kind, code in STATUS if isinstance(wrong, cls))


def status_of(wrong: InterplayError | Failure) -> int:
    return described(wrong)[0]


def retry_after(wrong: InterplayError | Failure) -> float | None:
    if isinstance(wrong, StepFailure):
        wrong = wrong.failure
    if isinstance(wrong, Failure | LimitReached | BudgetReached | Unavailable):
        return wrong.retry_after
    return None


def error_of(wrong: InterplayError | Failure) -> tuple[int, dict[str, Any]]:
    """Its status, and what stands under `error`: of an answer, or of the last event of a stream."""
    status, kind, code = described(wrong)
    message = " ".join(part for part in (wrong.detail, wrong.advice) if part)
    error: dict[str, Any] = {"message": message, "type": kind, "param": wrong.where, "code": code}
    if isinstance(wrong, LimitReached | BudgetReached):
        error["limit"] = wrong.limit
    return status, error


def broken(wrong: InterplayError | Failure) -> bytes:
    """The last event of a stream that broke; no `[DONE]` follows it."""
    return b"data: %s\n\n" % _ENCODE({"error": error_of(wrong)[1]})


def refused(wrong: InterplayError | Failure) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of their own."""
    status, error = error_of(wrong)
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(wrong, LimitReached | BudgetReached):
        headers.append((b"x-interplay-limit", _line(wrong.limit)))
        if wrong.retry_after is None:  # OpenAI's and Anthropic's clients know this, and do not ask again in vain
            headers.append((b"x-should-retry", b"false"))
    wait = retry_after(wrong)
    if wait is not None and status in (402, 429, 503, 504):
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(wait))))
        headers.append((b"retry-after-ms", b"%d" % max(1, math.ceil(wait * 1000))))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return status, _ENCODE({"error": error}), headers


def nothing_there(method: str, path: str, allowed: str | None, known: str) -> tuple[int, bytes, list[Pair]]:
    """No model is missing but the place itself, or the method at it."""
    if allowed is not None:
        message, status, code = f"{path} takes {allowed}, not {method}.", 405, "method_not_allowed"
    else:
        message, status, code = f"There is nothing at {method} {path}. There are {known}.", 404, "unknown_url"
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return status, _ENCODE({"error": error}), [(b"allow", allowed.encode())] if allowed is not None else []


def _line(text: str) -> bytes:
    return "".join(letter if letter.isprintable() else "?" for letter in text).encode("latin-1", "replace")

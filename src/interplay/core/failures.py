"""Why a step failed: codes that policies can name, and the record that the journal keeps."""

from __future__ import annotations

from typing import Final

import msgspec

from interplay.core.errors import InterplayError
from interplay.core.models.usage import Usage

RETRYABLE: Final = frozenset({"rate_limited", "unavailable", "timeout", "invalid_output"})
CODES: Final = RETRYABLE | frozenset(
    {
        "bad_request",  # the upstream refused what we sent
        "unauthorized",  # wrong or missing credentials
        "not_found",  # no such model, flow, address
        "context_too_long",
        "content_filtered",
        "expression",  # an expression or template could not be computed
        "budget_exceeded",
        "output_too_large",
        "too_many_steps",
        "deadline_exceeded",
        "rejected",  # a person said no, or nobody answered and `otherwise` says reject
        "no_quorum",
        "item_failed",  # a map's item failed and `on_item_error` is fail
        "all_failed",  # no alternative succeeded
        "unknown_outcome",  # an effect was under way when its worker died
        "egress_refused",
        "internal",  # a defect of ours; the detail holds what is known
    }
)


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One failure, as journaled and shown. `retry_after` is the upstream's own wish in seconds."""

    code: str
    detail: str
    where: str | None = None
    advice: str | None = None
    retry_after: float | None = None


OVERDUE: Final = Failure(
    "deadline_exceeded",
    "The run did not end before its deadline.",
    advice="Give its flow a longer `deadline` (without one it is 24 h); `interplay runs show RUN` says what took long.",
)


def defect(error: BaseException, where: str | None = None) -> Failure:
    """Something of ours that does not work, in words that the journal can keep."""
    detail = storable_text(f"{type(error).__name__}: {error}")[:1000]
    return Failure("internal", detail, where, "This is a defect of Interplay: please report it, with the worker's log.")


def storable(failure: Failure) -> Failure:
    """The failure as the journal can keep it: its words may be an upstream's."""
    texts = [failure.detail, failure.where or "", failure.advice or ""]
    if all(text.isascii() for text in texts):
        return failure
    detail, where, advice = (storable_text(text) for text in texts)
    return Failure(failure.code, detail, where or None, advice or None, failure.retry_after)


def storable_text(text: str) -> str:
    """The text with `?` for what is no character (half of a surrogate pair)."""
    return text.encode("utf-8", "replace").decode()


class StepFailure(InterplayError):
    """Raised by whatever executes or evaluates a step; the engine turns it into a `Failure`.

    `usage`: what was used for an answer that is none; without calls: no upstream was asked.
    """

    title = "The step failed"

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        where: str | None = None,
        advice: str | None = None,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(detail, where=where, advice=advice)
        self.failure = Failure(code, detail, where, advice, retry_after)
        self.usage = usage

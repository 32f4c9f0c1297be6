"""What a failed attempt means: another attempt, a value to use instead, or the failure of the step."""

from __future__ import annotations

from typing import Final

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.durations import LONGEST
from interplay.core.ids import derived_fraction
from interplay.core.models.usage import Usage
from interplay.core.runs.events import Body, StepFailed, StepRetrying, StepSucceeded
from interplay.core.runs.state import StepState

LONGEST_WISH: Final = 3600.0  # seconds: an upstream that names a longer pause is asked again after this one


def backoff(step: StepState, run_id: str, failure: Failure) -> float:
    """Seconds until the next attempt: doubling, with jitter of ± 25 % that a fold repeats, and never
    sooner than the upstream asked for, as far as its wish is within an hour."""
    retry = step.plan.policy.retry
    grown = min(retry.backoff * 2.0 ** (step.attempt - 1), retry.max_backoff)
    jittered = grown * (0.75 + 0.5 * derived_fraction(run_id, step.key, str(step.attempt)))
    return min(max(jittered, min(failure.retry_after or 0.0, LONGEST_WISH)), LONGEST)


def after_failure(
    step: StepState,
    run_id: str,
    failure: Failure,
    span: tuple[float, float],
    usage: Usage | None = None,
) -> Body:
    """The fact to journal for a failed attempt. `span`: when it started, and how many seconds it took."""
    started_at, seconds = span
    policy = step.plan.policy
    if failure.code in policy.retry.on and step.attempt <= policy.retry.max:
        next_at = started_at + seconds + backoff(step, run_id, failure)
        first = step.started_at if step.started_at is not None else started_at
        if policy.timeout.total is None or next_at < first + policy.timeout.total:
            return StepRetrying(failure, started_at, seconds, next_at, usage)
    return settled_failure(step, failure, span, usage)


def settled_failure(step: StepState, failure: Failure, span: tuple[float, float], usage: Usage | None = None) -> Body:
    """The step will not be tried again: `on_error` decides what it leaves behind."""
    started_at, seconds = span
    action = step.plan.policy.on_error.action
    if action == "use" and step.plan.fallback is not None:
        try:
            value = step.plan.fallback.evaluate(step.scope.names)
        except StepFailure as refused:
            return StepFailed(refused.failure, started_at, seconds, False, usage)
        detail = {"failure": {"code": failure.code, "detail": failure.detail}}
        return StepSucceeded(value, started_at, seconds, None, usage, "default", detail)
    return StepFailed(failure, started_at, seconds, action == "continue", usage)

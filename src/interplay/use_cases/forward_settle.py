"""The end of a call: what it used is taken from its limits and written down, once.

An attempt that generated something and was not the answer, because it broke or was filtered, has a record of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from interplay.core.models.health import CANCELLED
from interplay.core.models.pricing import cost
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.models.wire import BYTES_A_TOKEN, written
from interplay.core.tenancy.limits import micros_of
from interplay.use_cases.forward_attempt import Attempt, StreamAttempt

if TYPE_CHECKING:
    from interplay.use_cases.forward_cache import Looked
    from interplay.use_cases.forward_call import Call
    from interplay.use_cases.forward_parts import ForwardParts


def settle(parts: ForwardParts, call: Call, status: int, outcome: str, attempt: Attempt | None) -> None:
    """`attempt`: the one that answered, or the last one; None: nothing was called, so nothing is written down."""
    seconds = parts.clock.monotonic() - call.started
    place = (call.incoming.task, status)
    parts.ended[place] = parts.ended.get(place, 0) + 1
    parts.outcomes[outcome] = parts.outcomes.get(outcome, 0) + 1
    parts.seconds += seconds
    reservation, call.reservation = call.reservation, None
    if attempt is None or call.caller is None or call.asked is None:
        if reservation is not None:
            parts.admit.release(reservation)
        if call.looked is not None and call.looked.kept is not None:
            parts.record(_again(parts, call, call.looked, call.looked.kept.deployment, seconds))
        return
    used = [(attempt, _used(call, attempt, outcome))]
    if len(call.attempts) > 1:
        paid = [other for other in call.attempts if other is not attempt and _paid(other)]
        used += [(other, _used(call, other, outcome)) for other in paid]
    if reservation is not None:
        micros = _micros(parts, call, used) if reservation.micros else 0
        parts.admit.settle(reservation, sum(usage.tokens for _, usage in used), micros)
    for made, usage in used:
        parts.tokens[0] += usage.input_tokens
        parts.tokens[1] += usage.output_tokens
        if made is attempt:
            parts.record(_record(parts, call, made, (call.record_id, status, outcome, usage, seconds)))
        else:
            failure = made.failure
            ended = (CANCELLED, 499) if failure is None else (failure.code, call.face.status_of(failure))
            parts.record(_record(parts, call, made, (parts.next_id(), ended[1], ended[0], usage, 0.0)))


def _paid(attempt: Attempt) -> bool:
    """One that was not the answer, and yet generated something: whoever made it wants to be paid for it."""
    return attempt.usage is not None or attempt.characters > 0


def _micros(parts: ForwardParts, call: Call, used: list[tuple[Attempt, Usage]]) -> int | None:
    """Of all that were made; None where the price of one is unknown."""
    assert call.caller is not None
    total = 0
    for made, usage in used:
        usd = cost(usage, parts.price(call.caller, made.model, made.live.deployment))
        if usd is None:
            return None
        total += micros_of(usd)
    return total


def _record(
    parts: ForwardParts, call: Call, attempt: Attempt, told: tuple[UUID, int, str, Usage, float]
) -> UsageRecord:
    """`told`: its id, status, outcome, usage and seconds."""
    assert call.caller is not None
    assert call.asked is not None
    record_id, status, outcome, usage, seconds = told
    deployment = attempt.live.deployment
    return UsageRecord(
        record_id,
        parts.clock.now(),
        call.caller.project_id,
        call.caller.key_id,
        call.asked.model,
        f"{deployment.connection}/{deployment.model}",
        "",
        None,
        status,
        outcome,
        usage,
        seconds,
        attempt.first_token if isinstance(attempt, StreamAttempt) else None,
        "",
        call.plan.attempts if call.plan is not None else 1,
    )


def _again(parts: ForwardParts, call: Call, looked: Looked, deployment: str, seconds: float) -> UsageRecord:
    """An answer that was given before: it used nothing."""
    assert call.caller is not None
    assert call.asked is not None
    place = (call.record_id, parts.clock.now(), call.caller.project_id, call.caller.key_id, call.asked.model)
    return UsageRecord(*place, deployment=deployment, seconds=seconds, cached=looked.how, attempts=0)


def _used(call: Call, attempt: Attempt, outcome: str) -> Usage:
    """As the upstream counted. Where it did not say and there was an answer, or a part of one, an estimate from
    its length: a count of nothing would be wrong for sure."""
    if attempt.usage is not None:
        return attempt.usage
    if outcome not in ("ok", "client_gone") and not attempt.characters:
        return Usage(calls=1)
    assert call.asked is not None
    wrote = attempt.characters or (written(attempt.body) if attempt.status == 200 else 0)
    return Usage(call.asked.size // BYTES_A_TOKEN, wrote // BYTES_A_TOKEN, 0, 1)

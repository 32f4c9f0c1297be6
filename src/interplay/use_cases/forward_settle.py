"""The end of a call: what it used is taken from its limits and written down, once.

An attempt that generated something and was not the answer, because it broke, was filtered or was the slower of two, has
a record of its own: one for each call of an upstream that is paid for. What an upstream did not count is estimated, and
marked so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from interplay.core.models.health import CANCELLED
from interplay.core.models.pricing import cost
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.models.wire import BYTES_A_TOKEN, written
from interplay.core.tenancy.limits import micros_of
from interplay.use_cases.forward_attempt import Attempt, StreamAttempt

if TYPE_CHECKING:
    from interplay.use_cases.admit_call import Reservation
    from interplay.use_cases.forward_cache import Looked
    from interplay.use_cases.forward_call import Call
    from interplay.use_cases.forward_parts import ForwardParts

_HEARD: Final = ("ok", "client_gone")  # outcomes after which what was generated is paid for


def settle(parts: ForwardParts, call: Call, status: int, outcome: str, attempt: Attempt | None) -> None:
    """`attempt`: the one that answered, or the last one; None: nothing was called, so nothing is written down."""
    seconds = parts.clock.monotonic() - call.started
    place = (call.incoming.task, status)
    parts.ended[place] = parts.ended.get(place, 0) + 1
    parts.outcomes[outcome] = parts.outcomes.get(outcome, 0) + 1
    parts.seconds += seconds
    reservation, call.reservation = call.reservation, None
    second, call.second = call.second, None
    if attempt is None or call.caller is None or call.asked is None:
        if reservation is not None:
            parts.admit.release(reservation)
        if call.looked is not None and call.looked.kept is not None:
            parts.record(_again(parts, call, call.looked, call.looked.kept.deployment, seconds))
        return
    used = [(attempt, _used(call, attempt, outcome))]
    if len(call.attempts) > 1:
        used += _beside(call, attempt, used[0][1], outcome)
    if second is not None:
        own = [one for one in used if one[0].is_second]
        _settle(parts, call, second, own)
        if reservation is not None:
            _settle(parts, call, reservation, [one for one in used if not one[0].is_second])
    elif reservation is not None:
        _settle(parts, call, reservation, used)
    for made, usage in used:
        parts.tokens[0] += usage.input_tokens
        parts.tokens[1] += usage.output_tokens
        if made is attempt:
            parts.record(_record(parts, call, made, (call.record_id, status, outcome, usage, seconds)))
        else:
            failure = made.failure
            ended = (CANCELLED, 499) if failure is None else (failure.code, call.face.status_of(failure))
            parts.record(_record(parts, call, made, (parts.next_id(), ended[1], ended[0], usage, 0.0)))


def _settle(parts: ForwardParts, call: Call, reservation: Reservation, used: list[tuple[Attempt, Usage]]) -> None:
    assert call.caller is not None
    micros = _micros(parts, call, used) if call.caller.budgeted else 0
    tokens = used[0][1].tokens if len(used) == 1 else sum(usage.tokens for _, usage in used)
    parts.admit.settle(reservation, tokens, micros)


def _beside(call: Call, attempt: Attempt, used: Usage, outcome: str) -> list[tuple[Attempt, Usage]]:
    """Those that were not the answer, and yet generated something: whoever made it wants to be paid for it."""
    found = []
    for other in call.attempts:
        if other is attempt:
            continue
        if other.usage is not None or other.characters:
            found.append((other, _used(call, other, outcome)))
        elif other.failure is None:
            if other.sending is not None and outcome in _HEARD:
                found.append((other, _lost(call, other, used)))
        elif _left_alone(other, other.failure.code):
            found.append((other, _used(call, other, other.failure.code)))
    return found


def _lost(call: Call, other: Attempt, used: Usage) -> Usage:
    """Of the slower of two, which was ended on the way: the question is the same, and an answer that was to come whole
    may have been made whole all the same."""
    assert call.asked is not None
    read = used.input_tokens or call.asked.size // BYTES_A_TOKEN
    return Usage(read, 0 if isinstance(other, StreamAttempt) else used.output_tokens, 0, 1)


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
    price = parts.price(call.caller, attempt.model, deployment)
    if price is not None:
        usage = msgspec.structs.replace(usage, usd=cost(usage, price))
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
        attempt.usage is None and usage.tokens > 0,
    )


def _again(parts: ForwardParts, call: Call, looked: Looked, deployment: str, seconds: float) -> UsageRecord:
    """An answer that was given before: it used nothing."""
    assert call.caller is not None
    assert call.asked is not None
    place = (call.record_id, parts.clock.now(), call.caller.project_id, call.caller.key_id, call.asked.model)
    return UsageRecord(*place, deployment=deployment, seconds=seconds, cached=looked.how, attempts=0)


def _left_alone(attempt: Attempt, outcome: str) -> bool:
    """Whether an upstream has the question, and its answer was not waited for: it may be made all the same."""
    return outcome == "timeout" and attempt.sending is not None and attempt.sending.sent


def _used(call: Call, attempt: Attempt, outcome: str) -> Usage:
    """As the upstream counted. Where it did not say and there was an answer, or a part of one, an estimate from
    its length: a count of nothing would be wrong for sure."""
    if attempt.usage is not None:
        return attempt.usage
    if outcome not in _HEARD and not attempt.characters and not _left_alone(attempt, outcome):
        return Usage(calls=1)
    assert call.asked is not None
    wrote = attempt.characters or (written(attempt.body) if attempt.status == 200 else 0)
    return Usage(call.asked.size // BYTES_A_TOKEN, wrote // BYTES_A_TOKEN, 0, 1)

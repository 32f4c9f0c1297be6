"""A share of the answers is asked for at another deployment too, and kept for comparison; its caller waits for nothing.

Only answers that come whole: of a stream nobody keeps the text.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from interplay.core.errors import InterplayError
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.call_plan import Try
from interplay.core.models.comparison import Comparison, Side, same_answer, shortened
from interplay.core.models.health import OK
from interplay.core.models.pricing import cost
from interplay.core.models.refusals import refusal
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.core.models.wire import BYTES_A_TOKEN, answered, spliced, written
from interplay.core.tenancy.limits import micros_of
from interplay.ports.comparison_store import ComparisonStore
from interplay.ports.upstream import Outgoing
from interplay.use_cases.forward_attempt import Attempt

if TYPE_CHECKING:
    from interplay.use_cases.admit_call import Reservation
    from interplay.use_cases.forward_call import Call
    from interplay.use_cases.forward_parts import ForwardParts

_LOG: Final = logging.getLogger("interplay.gateway")
_MOST: Final = 16  # at once: a shadow may not take the place of a real call


class Shadows:
    """Those under way in this process."""

    def __init__(self, store: ComparisonStore) -> None:
        self._store = store
        self._running = 0

    def consider(self, parts: ForwardParts, model: LiveModel, call: Call, attempt: Attempt) -> None:
        """Starts one where the policy, chance and room allow it; returns at once."""
        policy, live = model.policy.shadow, model.shadow
        if policy is None or live is None or live.name == attempt.live.name or parts.draw() >= policy.share:
            return
        roomy = self._running < _MOST and not live.full and live.available(parts.clock.monotonic())
        if not roomy or live.connection.kind not in parts.forwarded:
            return
        self._running += 1
        shadowed = Shadowed(call, attempt, parts.clock.monotonic() - attempt.started)
        parts.spawn(self._run(parts, Try(live, model), shadowed), self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running -= 1
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("a shadow failed for a reason of ours", exc_info=task.exception())

    async def _run(self, parts: ForwardParts, step: Try, shadowed: Shadowed) -> None:
        live = step.live
        reservation = await _reserved(parts, step, shadowed)
        if reservation is None:
            return
        try:
            if not live.full and live.available(parts.clock.monotonic()):
                await self._made(parts, step, shadowed, reservation)
        finally:
            parts.admit.release(reservation)  # whatever was not settled

    async def _made(self, parts: ForwardParts, step: Try, shadowed: Shadowed, reservation: Reservation) -> None:
        clock, live = parts.clock, step.live
        began = clock.monotonic()
        live.begin(began)
        failure: Failure | None = None
        body = b""
        try:
            body = await _asked_again(parts, step, shadowed)
        except StepFailure as failed:
            failure = failed.failure
        except InterplayError as wrong:  # a secret that is not there
            failure = Failure("unauthorized", wrong.detail, wrong.where, wrong.advice)
        seconds = clock.monotonic() - began
        live.observe(clock.monotonic(), seconds, OK if failure is None else failure.code)
        found = answered(body)
        usage = found.counted() if found is not None else None
        if failure is None:
            used = _record(parts, step, shadowed, (usage, body), seconds)
            parts.admit.settle(reservation, used.tokens, None if used.usd is None else micros_of(used.usd))
        elif failure.code == "timeout":
            parts.admit.settle(reservation, None, None)  # the estimate stands: it may be made all the same
        mine, other = told(shadowed.body), told(body)
        given = Side(shadowed.deployment, shadowed.seconds, shortened(mine))
        shadow = Side(live.name, seconds, None if failure else shortened(other), failure)
        asked = shortened({name: shadowed.asked.value(name) for name in shadowed.asked.fields})
        same = failure is None and same_answer(mine, other)
        try:
            kept = Comparison(step.model.name, clock.now(), asked, given, shadow, same)
            await self._store.keep(shadowed.caller.project_id, kept)
        except InterplayError as away:
            _LOG.warning("a shadow's answer was not kept: %s", away.detail)


class Shadowed:
    """The call that was answered, and how. It is taken apart here, so that nothing holds on to the call."""

    __slots__ = ("asked", "body", "caller", "deployment", "incoming", "seconds")

    def __init__(self, call: Call, attempt: Attempt, seconds: float) -> None:
        assert call.caller is not None
        assert call.asked is not None
        self.incoming = call.incoming
        self.caller = call.caller
        self.asked = call.asked
        self.deployment = attempt.live.name
        self.body = attempt.body
        self.seconds = seconds


async def _reserved(parts: ForwardParts, step: Try, shadowed: Shadowed) -> Reservation | None:
    """It is paid for like any other call. None: limits have no room for it."""
    caller, asked = shadowed.caller, shadowed.asked
    micros = parts.estimate(caller, step, asked)
    try:
        return await parts.admit.reserve_slowly(caller, step.live.meters, asked.tokens, micros)
    except InterplayError:
        return None


async def _asked_again(parts: ForwardParts, step: Try, shadowed: Shadowed) -> bytes:
    project = shadowed.caller.project_id
    target = parts.upstream.target(project, step.live.connection)
    if target is None:
        target = await parts.upstream.resolve(project, step.live.connection)
    body = spliced(shadowed.asked, step.live.raw_model, step.live.options)
    outgoing = Outgoing(target, shadowed.incoming.path, body)
    whole = await parts.upstream.call(outgoing, parts.patience(step, stream=False))
    if whole.status >= 400 or answered(whole.body) is None:
        found = refusal(step.live.name, whole.status, whole.body, whole.retry_after, parts.clock.now())
        raise StepFailure(found.code if whole.status >= 400 else "unavailable", found.detail)
    return whole.body


def _record(
    parts: ForwardParts, step: Try, shadowed: Shadowed, told: tuple[Usage | None, bytes], seconds: float
) -> Usage:
    """`told`: what it used, as far as it said, and the answer."""
    deployment, caller = step.live.deployment, shadowed.caller
    usage, body = told
    estimated = usage is None
    if usage is None:
        usage = Usage(shadowed.asked.size // BYTES_A_TOKEN, written(body) // BYTES_A_TOKEN, 0, 1)
    usage = msgspec.structs.replace(usage, usd=cost(usage, parts.price(caller, step.model.name, deployment)))
    name = f"{deployment.connection}/{deployment.model}"
    place = (parts.next_id(), parts.clock.now(), caller.project_id, caller.key_id, shadowed.asked.model, name)
    parts.record(UsageRecord(*place, outcome="shadow", usage=usage, seconds=seconds, estimated=estimated))
    return usage


def told(body: bytes) -> Any:
    """What an answer says, without its ids and counts."""
    try:
        answer = msgspec.json.decode(body)
        if "choices" in answer:
            message = answer["choices"][0]["message"]
            return {"text": message.get("content"), "tool_calls": message.get("tool_calls") or []}
        if "results" in answer:
            return {"order": [row["index"] for row in answer["results"]]}
        return {"vectors": [row["embedding"] for row in answer["data"]]}
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return None

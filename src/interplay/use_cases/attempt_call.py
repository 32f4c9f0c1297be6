"""One try of a call on one deployment: a place in its queue, its time limits, and what is learnt of its health."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from interplay.core.errors import NotFound
from interplay.core.failures import StepFailure
from interplay.core.models.call_plan import Try
from interplay.core.models.health import CANCELLED, OK, SLOWER, LiveDeployment
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.usage import Usage
from interplay.ports.clock import Clock
from interplay.ports.model_provider import ModelProvider
from interplay.use_cases.admit_call import Reservation
from interplay.use_cases.guess_usage import bound, counted_or_guessed, guessed
from interplay.use_cases.model_call import Answer, Attempt, Ear, ModelCall, ProviderOf, Spent

_FREE: Final = frozenset(  # what an upstream takes no money for
    {"rate_limited", "unavailable", "unauthorized", "not_found", "bad_request", "context_too_long"}
)
_DEFECT: Final = "internal"
_FULL_RETRY: Final = 1.0  # seconds after which a full queue may be asked again


class Accounts(Protocol):
    """Limits and budgets of the call's project; see `account_call`."""

    async def reserve(self, call: ModelCall[Any], step: Try) -> Reservation | None: ...

    def priced(self, project_id: int, alias: str, deployment: Deployment, usage: Usage) -> Usage: ...

    def settle(self, reservation: Reservation | None, usage: Usage | None) -> None: ...


class AttemptCall:
    """`accounts`: None where nobody counts."""

    def __init__(self, provider_of: ProviderOf, clock: Clock, accounts: Accounts | None = None) -> None:
        self._provider_of = provider_of
        self._clock = clock
        self._accounts = accounts

    async def run(self, step: Try, call: ModelCall[Answer], ear: Ear, deadline: float, first: bool = True) -> Answer:
        """Raises StepFailure. `first`: the first deployment of this call, whose key is the call's own."""
        if self._accounts is None:
            return await self._admitted(step, call, ear, deadline, first)
        reservation = await self._accounts.reserve(call, step)
        usage, began = None, self._clock.monotonic()
        outcome, estimated = _DEFECT, True
        try:
            answer: Any = await self._admitted(step, call, ear, deadline, first)
            counted, estimated = counted_or_guessed(call, answer)
            outcome, usage = OK, self._priced(step, call, counted)
            return msgspec.structs.replace(answer, usage=usage)  # type: ignore[no-any-return]
        except StepFailure as failed:
            outcome, estimated = failed.failure.code, failed.usage is None or not failed.usage.tokens
            nothing = failed.usage is not None and not failed.usage.calls
            if ear.sent and not nothing and (not estimated or outcome not in _FREE or ear.began_at is not None):
                usage = self._priced(step, call, _may_have_used(call, ear) if estimated else failed.usage or Usage())
                failed.usage = usage
            raise
        except BaseException as stopped:
            if isinstance(stopped, asyncio.CancelledError):
                outcome = CANCELLED
            if ear.sent:
                usage = self._priced(step, call, _may_have_used(call, ear))
            raise
        finally:
            if usage is not None:
                seconds = self._clock.monotonic() - began
                ear.trace.spent.append(Spent(step.live.deployment, outcome, usage, seconds, estimated))
            self._accounts.settle(reservation, usage)

    def _priced(self, step: Try, call: ModelCall[Answer], usage: Usage) -> Usage:
        assert self._accounts is not None
        return self._accounts.priced(call.project_id, step.model.name, step.live.deployment, usage)

    async def _admitted(self, step: Try, call: ModelCall[Answer], ear: Ear, deadline: float, first: bool) -> Answer:
        live, clock = step.live, self._clock
        placed = await self._enter(step, deadline)
        begun = clock.monotonic()
        live.begin(begun, placed=placed)
        ear.trace.tried += 1
        failure, outcome = None, CANCELLED
        try:
            answer = await self._send(step, call, ear, deadline, first)
            outcome = OK
            return answer
        except StepFailure as failed:
            failure, outcome = failed.failure, failed.failure.code
            raise
        except asyncio.CancelledError:
            outcome = SLOWER if ear.lost else CANCELLED
            raise
        finally:
            now = clock.monotonic()
            began = now if ear.began_at is None else ear.began_at
            live.observe(now, began - begun, outcome, failure.retry_after if failure is not None else None)

    async def _send(self, step: Try, call: ModelCall[Answer], ear: Ear, deadline: float, first: bool) -> Answer:
        timeouts = step.model.policy.timeouts
        first_token = call.first_token if call.first_token is not None else timeouts.first_token
        idle = call.idle if call.idle is not None else timeouts.idle
        provider = await self._provider(call.project_id, step.live.connection)
        ear.sent = True
        if timeouts.connect is not None:
            provider = provider.connecting_within(timeouts.connect)
        heard = ear.listen(self._clock)
        key = call.idempotency_key
        if key is not None and not first:
            key = f"{key}:{step.live.name}{':hedge' if step.hedge else ''}"
        drop = step.model.policy.drop_unsupported
        attempt = Attempt(provider, step.live.deployment, heard, key, first_token, idle, drop)
        left = deadline - self._clock.monotonic()
        limit = left if heard is not None or first_token is None else min(left, first_token)
        try:
            async with asyncio.timeout(limit):
                return await call.send(attempt)
        except TimeoutError:
            raise StepFailure("timeout", f"{step.live.name} did not answer within {limit:.3g} s.") from None

    async def _provider(self, project_id: int, connection: Connection) -> ModelProvider:
        try:
            return await self._provider_of(project_id, connection)
        except NotFound as missing:
            raise StepFailure("unauthorized", missing.detail, where=missing.where, advice=missing.advice) from missing

    async def _enter(self, step: Try, deadline: float) -> bool:
        """True when a place was waited for. Raises StepFailure: `rate_limited` where too many wait already."""
        live, most = step.live, step.model.policy.queue
        if not live.full:
            return False
        if live.waiting >= most:
            raise StepFailure(
                "rate_limited",
                f"{live.name} has its {live.concurrency} calls, and {live.waiting} wait already.",
                advice="Come back later, or raise `concurrency` of the deployment or `queue` of the policy.",
                retry_after=_FULL_RETRY,
            )
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        live.wait(wake)
        left = deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await ready
        except TimeoutError:
            _leave_queue(live, wake)
            raise StepFailure("timeout", f"{live.name} had no room within {left:.3g} s.") from None
        except asyncio.CancelledError:
            _leave_queue(live, wake)
            raise
        return self._still_there(live)

    def _still_there(self, live: LiveDeployment) -> bool:
        """The place that was waited for, unless the deployment began to rest meanwhile."""
        if live.available(self._clock.monotonic()):
            return True
        live.leave()
        raise StepFailure("unavailable", f"{live.name} began to rest while this call waited for room.")


def _may_have_used(call: ModelCall[Any], ear: Ear) -> Usage:
    """By an upstream that was left alone: what was heard of a stream; an answer that comes whole may be made whole."""
    if ear.streams:
        return guessed(call, ear.heard)
    others = [made.usage for made in ear.trace.spent if made.outcome == OK]
    return others[-1] if ear.lost and others else bound(call)


def _leave_queue(live: LiveDeployment, wake: Callable[[], None]) -> None:
    if not live.give_up_waiting(wake):
        live.leave()

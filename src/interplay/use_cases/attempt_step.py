"""One attempt of a step that reaches outside: slot, cache, budget, timeouts, and the fact to journal."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec

from interplay.core.errors import NotFound, Unavailable
from interplay.core.failures import Failure, StepFailure, storable
from interplay.core.flows.storable import unstorable
from interplay.core.models.usage import Usage
from interplay.core.runs.events import (
    Body,
    StepIntended,
    StepSucceeded,
    decode_value,
    encode_value,
)
from interplay.core.runs.retrying import after_failure
from interplay.core.runs.state import StepState
from interplay.ports.clock import Clock
from interplay.ports.result_cache import ResultCache
from interplay.ports.slots import Slots
from interplay.use_cases.evaluate_values import EvaluateValues
from interplay.use_cases.hold_slots import HoldSlots
from interplay.use_cases.step_call import StepCall, StepExecutor, StepResult

_LONGEST_SLOT = 255  # characters


@dataclass(frozen=True, slots=True)
class RunIdentity:
    run_id: UUID
    project_id: int
    worker_id: UUID
    flow: str = ""
    key_id: UUID | None = None  # that started the run


class AttemptStep:
    """Executes leaf steps through a StepExecutor, under the step's policy."""

    def __init__(self, executor: StepExecutor, cache: ResultCache, slots: Slots, clock: Clock) -> None:
        self._executor = executor
        self._cache = cache
        self.slots = HoldSlots(slots, clock)
        self._clock = clock
        self.values = EvaluateValues()

    async def run(
        self,
        who: RunIdentity,
        step: StepState,
        intend: Callable[[Body], Awaitable[None]],
        on_delta: Callable[[str], None] | None,
    ) -> Body:
        """The fact that the attempt leaves behind. `intend` makes an intent durable before an effect."""
        started_at, began = self._clock.now(), self._clock.monotonic()
        usage: Usage | None = None
        try:
            call = await self._call(who, step, on_delta)
            _check_budget(step)
            kept = await self._kept(call)
            if kept is not None:
                return StepSucceeded(kept, started_at, self._clock.monotonic() - began, None, None, "cache")
            result = await self._in_slot(who, step, call, intend)
            usage = _usage_of(result)
            _check_storable("the answer", result.output)
            _check_storable("what is noted of the answer", result.detail)
            await self._keep(call, result)
        except StepFailure as failed:
            span = (started_at, self._clock.monotonic() - began)
            return after_failure(step, str(who.run_id), storable(failed.failure), span, usage or failed.usage)
        except (Unavailable, NotFound) as away:
            code = "unavailable" if isinstance(away, Unavailable) else "not_found"
            span = (started_at, self._clock.monotonic() - began)
            failure = storable(Failure(code, away.detail, away.where, away.advice))
            return after_failure(step, str(who.run_id), failure, span)
        seconds = self._clock.monotonic() - began
        return StepSucceeded(result.output, started_at, seconds, None, usage, "", result.detail)

    async def _call(self, who: RunIdentity, step: StepState, on_delta: Callable[[str], None] | None) -> StepCall:
        plan = step.plan
        args = await self.values.run(who.run_id, plan.values, step.scope.names)
        left = _tokens_left(step)
        if left is not None and plan.kind == "chat":
            args["max_tokens"] = min(int(args.get("max_tokens") or left), left)
        return StepCall(
            who.run_id,
            who.project_id,
            step.key,
            step.attempt,
            plan.kind,
            args,
            plan.policy,
            f"{who.run_id}:{step.key}",
            on_delta if step.stream else None,
            who.flow,
            who.key_id,
        )

    async def _in_slot(
        self,
        who: RunIdentity,
        step: StepState,
        call: StepCall,
        intend: Callable[[Body], Awaitable[None]],
    ) -> StepResult:
        limit = step.plan.policy.limit
        if limit is None or step.plan.limit_key is None:
            return await self._outside(step, call, intend)
        key, whose = _slot(str(step.plan.limit_key.evaluate(step.scope.names))), f"{who.run_id}:{step.key}"
        async with self.slots.slot(who.project_id, key, limit.concurrency, who.worker_id, whose):
            return await self._outside(step, call, intend)

    async def _outside(self, step: StepState, call: StepCall, intend: Callable[[Body], Awaitable[None]]) -> StepResult:
        if step.plan.policy.effect is not None:
            await intend(StepIntended(self._clock.now(), call.idempotency_key))
        limit = self._time_left(step)
        try:
            async with asyncio.timeout(limit):
                return await self._executor.execute(call)
        except TimeoutError:
            raise StepFailure("timeout", f"The attempt took longer than {limit:g} s.") from None

    def _time_left(self, step: StepState) -> float | None:
        timeout = step.plan.policy.timeout
        limits = [timeout.attempt] if timeout.attempt is not None else []
        if timeout.total is not None:
            spent = self._clock.now() - step.started_at if step.started_at is not None else 0.0
            limits.append(max(0.0, timeout.total - spent))
        return min(limits, default=None)

    async def _kept(self, call: StepCall) -> Any:
        if call.policy.cache is None:
            return None
        digest = await self._executor.cache_digest(call)
        try:
            raw = await self._cache.get(call.project_id, digest)
        except Unavailable:
            return None  # what is kept saves a call; a run does not depend on it
        return decode_value(raw) if raw is not None else None

    async def _keep(self, call: StepCall, result: StepResult) -> None:
        if call.policy.cache is not None:
            digest = await self._executor.cache_digest(replace(call, on_delta=None))
            with contextlib.suppress(Unavailable):  # the call was made, and its result is what counts
                await self._cache.put(call.project_id, digest, encode_value(result.output), call.policy.cache)


def _check_storable(what: str, value: Any) -> None:
    """What comes from outside may be more than the journal can keep: half a character, a number of 40 digits."""
    wrong = unstorable(value, what)
    if wrong is not None:
        raise StepFailure("invalid_output", f"The answer cannot be kept: {wrong}.")


def _usage_of(result: StepResult) -> Usage | None:
    if result.usage is not None:
        _check_storable("the usage of the answer", msgspec.to_builtins(result.usage))
    return result.usage


def _check_budget(step: StepState) -> None:
    """A step, and each step around it, may start a call only while its budget has something left."""
    spender: StepState | None = step
    while spender is not None:
        budget, spent = spender.plan.policy.budget, spender.usage or Usage()
        if budget.usd is not None and (spent.usd or 0.0) >= budget.usd:
            raise StepFailure(
                "budget_exceeded",
                f"{spender.key} may spend {budget.usd:g} USD and has spent {spent.usd:.6g}.",
                where=spender.key,
            )
        if budget.tokens is not None and spent.tokens >= budget.tokens:
            raise StepFailure(
                "budget_exceeded",
                f"{spender.key} may use {budget.tokens:,} tokens and has used {spent.tokens:,}.",
                where=spender.key,
            )
        spender = spender.scope.owner


def _tokens_left(step: StepState) -> int | None:
    left: int | None = None
    spender: StepState | None = step
    while spender is not None:
        budget = spender.plan.policy.budget
        if budget.tokens is not None:
            here = max(1, budget.tokens - (spender.usage or Usage()).tokens)
            left = here if left is None else min(left, here)
        spender = spender.scope.owner
    return left


def _slot(key: str) -> str:
    """A limit's key as a ledger can keep it: one that is long or odd by its digest."""
    if len(key) <= _LONGEST_SLOT and key.isprintable():
        return key
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()

"""One call of a model by its alias, as its policy says: cache, route, retries, fallbacks, hedge, shadow.

The steps of flows go through here; the gateway's hot path works over the same `LiveModel` and `CallPlan`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Generic

from interplay.core.errors import near_names
from interplay.core.failures import StepFailure
from interplay.core.models.call_plan import LONGEST, CallPlan, Try
from interplay.core.models.health import CANCELLED
from interplay.core.models.registry import Deployment, Model
from interplay.core.models.requests import Delta
from interplay.core.models.routing import LiveModel
from interplay.core.models.usage import Usage
from interplay.ports.clock import Clock
from interplay.use_cases.account_call import AccountCall, Ended
from interplay.use_cases.attempt_call import AttemptCall
from interplay.use_cases.hedge_call import HedgeCall
from interplay.use_cases.live_models import Models
from interplay.use_cases.model_call import Answer, Ear, ModelCall, ProviderOf, Race, Spent, Trace
from interplay.use_cases.reuse_answer import NO_REUSE, ReuseAnswer
from interplay.use_cases.shadow_call import ShadowCall


@dataclass(frozen=True, slots=True)
class Called(Generic[Answer]):
    """The answer, who gave it, and how: `cached` is empty, `exact` or `semantic` (then with `similarity`).

    `instead_of`: the alias that was asked for, where a fallback answered.
    """

    answer: Answer
    alias: str
    deployment: Deployment
    attempts: int = 1
    cached: str = ""
    similarity: float | None = None
    instead_of: str | None = None

    def detail(self) -> dict[str, Any]:
        """What the journal keeps of it; only what is out of the ordinary beside the model."""
        made: dict[str, Any] = {"model": self.deployment.model, "deployment": self.deployment.label}
        if self.instead_of is not None:
            made["alias"] = self.alias
        if self.attempts > 1:
            made["attempts"] = self.attempts
        if self.cached:
            made |= {"cached": self.cached, "similarity": self.similarity}
        return {name: value for name, value in made.items() if value is not None}


@dataclass(frozen=True, slots=True)
class CallExtras:
    """What a call can do without: caches, shadows, limits and usage."""

    reuse: ReuseAnswer = NO_REUSE
    shadows: ShadowCall | None = None
    accounts: AccountCall | None = None


_MOMENT: Final = 0.98  # of the caller's own time
NO_EXTRAS: Final = CallExtras()


class CallModel:
    """`draw` gives chance, from 0 up to 1."""

    def __init__(
        self,
        models: Models,
        provider_of: ProviderOf,
        clock: Clock,
        draw: Callable[[], float],
        extras: CallExtras = NO_EXTRAS,
    ) -> None:
        self._models = models
        self._clock = clock
        self._draw = draw
        self._attempt = AttemptCall(provider_of, clock, extras.accounts)
        self._hedge = HedgeCall(clock)
        self._reuse = extras.reuse
        self._shadows = extras.shadows
        self._accounts = extras.accounts

    async def model(self, project_id: int, alias: str) -> Model:
        """Raises StepFailure (`not_found`) with near names."""
        return _found(await self._models.of(project_id, alias), alias).model

    async def run(self, call: ModelCall[Answer]) -> Called[Answer]:
        """Raises StepFailure: the last deployment's failure when nothing is left to try."""
        models = await self._models.of(call.project_id, call.alias)
        model = _found(models, call.alias)
        if model.policy.cache is None:
            return await self._made(call, model, models)
        kept = await self._reuse.look(model, call, self.run)
        if kept.answer is not None:
            if call.on_delta is not None and (text := getattr(kept.answer, "text", "")):
                call.on_delta(Delta(text))
            self._note(call, Ended("ok", kept.deployment, Usage(calls=1, usd=0.0), 0.0, 0, kept.how))
            return Called(kept.answer, model.name, kept.deployment, 0, kept.how, kept.similarity)
        called = await self._made(call, model, models)
        await self._reuse.keep(kept, called.deployment, called.answer)
        return called

    async def _made(self, call: ModelCall[Answer], model: LiveModel, models: Mapping[str, LiveModel]) -> Called[Answer]:
        began = self._clock.monotonic()
        longest = model.policy.timeouts.total or LONGEST
        if call.within is not None:  # a moment earlier, so that the deployment is known to be slow
            longest = min(longest, call.within * _MOMENT)
        plan = CallPlan(model, began + longest, self._draw, models.get, call.facts)
        outcome, usage, by, trace = "cancelled", Usage(), None, Trace()
        try:
            called = await self._carried_out(plan, call, trace)
            answer: Any = called.answer
            outcome, usage, by = "ok", answer.usage, called.deployment
        except StepFailure as failed:
            outcome, failed.usage = failed.failure.code, _sum_of(trace.spent)
            raise
        except Exception:
            outcome = "internal"
            raise
        finally:
            last = by or (plan.last.deployment if plan.last is not None else None)
            how = Ended(outcome, last, usage, self._clock.monotonic() - began, plan.attempts)
            self._note_all(call, trace, how)
        if self._shadows is not None and model.shadow is not None and called.alias == model.name:
            seconds = self._clock.monotonic() - began
            self._shadows.consider(model, call, (called.deployment, called.answer, seconds), self._attempt)
        return called

    def _note_all(self, call: ModelCall[Answer], trace: Trace, how: Ended) -> None:
        """The call, with what its last try used where that failed, and beside it each other try that may be charged."""
        if not trace.tried:
            return
        others = list(trace.spent)
        own = [
            made for made in others if (made.usage is how.usage if how.outcome == "ok" else made.outcome == how.outcome)
        ]
        if own:
            others.remove(own[-1])
            how = replace(how, deployment=own[-1].deployment, usage=own[-1].usage, estimated=own[-1].estimated)
        for other in others:
            outcome = CANCELLED if other.outcome == "ok" else other.outcome  # as good as the one that was taken
            beside = replace(how, outcome=outcome, deployment=other.deployment, usage=other.usage)
            self._note(call, replace(beside, seconds=other.seconds, estimated=other.estimated))
        self._note(call, how)

    def _note(self, call: ModelCall[Answer], how: Ended) -> None:
        if self._accounts is not None:
            self._accounts.ended(call, how)

    async def _carried_out(self, plan: CallPlan, call: ModelCall[Answer], trace: Trace) -> Called[Answer]:
        step, first, muted = plan.first(self._clock.monotonic()), None, False
        while isinstance(step, Try):
            if step.delay:
                await self._clock.sleep_until(self._clock.monotonic() + step.delay)
            first, muted = first or step.live, muted or step.rescue != "none"
            race = Race(_unheard if muted and call.on_delta is not None else call.on_delta, trace)

            async def send(made: Try, ear: Ear, own: Any = first) -> Answer:
                return await self._attempt.run(made, call, ear, plan.deadline, made.live is own and not made.hedge)

            try:
                answer, by = await self._hedge.run(plan, step, race, send)
                instead_of = call.alias if by.model.name != call.alias else None
                return Called(answer, by.model.name, by.live.deployment, plan.attempts, instead_of=instead_of)
            except StepFailure as failed:
                began = race.winner is not None and race.streams
                step = plan.after(failed.failure, self._clock.monotonic(), began)
                if not isinstance(step, Try) and step.failure is failed.failure:
                    raise
        gone = step.failure
        raise StepFailure(gone.code, gone.detail, where=gone.where, advice=gone.advice, retry_after=gone.retry_after)

    async def digest_parts(self, project_id: int, alias: str) -> list[Any]:
        """What a cached answer depends on: the deployments behind the alias."""
        model = await self.model(project_id, alias)
        return [[d.connection, d.model, d.options] for d in model.deployments]

    async def close(self) -> None:
        """Ends the shadow calls that are under way."""
        if self._shadows is not None:
            await self._shadows.close()


def _unheard(_: Delta) -> None:
    """A rescued answer is given whole: what was heard of the broken one is not repeated."""


def _sum_of(spent: list[Spent]) -> Usage | None:
    """Of all that a call paid for in vain."""
    total: Usage | None = None
    for made in spent:
        total = made.usage if total is None else total + made.usage
    return total


def _found(models: Mapping[str, LiveModel], alias: str) -> LiveModel:
    model = models.get(alias)
    if model is None:
        near = near_names(alias, models)
        meant = f"Did you mean {near[0]!r}?" if near else "`interplay models list` shows those that there are."
        raise StepFailure("not_found", f"There is no model {alias!r}.", advice=meant)
    return model

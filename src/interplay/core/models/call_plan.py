"""The plan of one call: which deployment first, and what a failure leads to. Pure: time and chance are given in.

    first ──▶ Try ──▶ (the caller calls) ──▶ after(failure) ──▶ Try … GiveUp
                 └──▶ hedge_at ──▶ hedge ──▶ Try beside the first

The caller makes each try: `live.begin(now)`, the call, `live.observe(now, seconds, outcome)`, then `after(…)`.
In this order a failure leads to: a deployment of the alias that was not tried yet, at once; one that was, after a
pause (`retries`); the next alias of `fallbacks`; the failure itself. Each alias is gone to once, so the number of
tries is bounded by the sum of its deployments and retries over all aliases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from interplay.core.failures import Failure
from interplay.core.models.call_facts import CallFacts
from interplay.core.models.health import LiveDeployment
from interplay.core.models.policy import Rescue
from interplay.core.models.routing import LiveModel

Resolve = Callable[[str], LiveModel | None]
AGAIN: Final = frozenset({"rate_limited", "unavailable", "timeout"})  # the same deployment may do better later
ELSEWHERE: Final = AGAIN | {"unauthorized", "not_found"}  # another deployment may do better
OTHER_ALIAS: Final = ELSEWHERE | {"context_too_long", "content_filtered"}  # everything else is final
MOST_ALIASES: Final = 8
LONGEST: Final = 600.0  # seconds of a call whose policy has no total


class Try:
    """Call `live` for the alias `model`, after `delay` seconds. When it is `live.full`, wait for room first.

    `rescue`: an answer had begun and broke; say so to the caller, and restart or continue it.
    """

    __slots__ = ("delay", "hedge", "live", "model", "rescue")

    def __init__(self, live: LiveDeployment, model: LiveModel, delay: float = 0.0, rescue: Rescue = "none") -> None:
        self.live = live
        self.model = model
        self.delay = delay
        self.rescue: Rescue = rescue
        self.hedge = False


class GiveUp:
    """Nothing is left to try; `failure` is what the caller hears."""

    __slots__ = ("failure",)

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class CallPlan:
    """`resolve` finds the aliases of fallbacks; `draw` gives chance, from 0 up to 1; `deadline` is monotonic.

    `model` is the alias being tried now, `last` the deployment, `attempts` how many tries were handed out.
    """

    __slots__ = (
        "_agenda",
        "_draw",
        "_facts",
        "_hedged",
        "_rescued",
        "_resolve",
        "_retries",
        "_tried",
        "_visited",
        "attempts",
        "deadline",
        "last",
        "model",
    )

    def __init__(
        self,
        model: LiveModel,
        deadline: float,
        draw: Callable[[], float],
        resolve: Resolve = lambda _alias: None,
        facts: CallFacts | None = None,
    ) -> None:
        self.model = model
        self.deadline = deadline
        self.attempts = 0
        self._draw = draw
        self._resolve = resolve
        self._facts = facts
        self.last: LiveDeployment | None = None
        self._tried: list[LiveDeployment] = []
        self._retries = 0
        self._rescued = False
        self._hedged = False
        self._agenda: list[str] | None = None  # aliases still to go to; None: no fallback was needed yet
        self._visited: set[str] | None = None

    def first(self, now: float) -> Try | GiveUp:
        hedge = self.model.policy.hedge
        if hedge is not None:
            self.model.hedging.earn(hedge.share)
        live = self.model.pick(now, self._draw(), self._facts)
        if live is not None:
            return self._try(live)
        return self._fall_back(self.model.nothing(now, self._facts), now)

    def after(self, failure: Failure, now: float, content_began: bool = False) -> Try | GiveUp:
        """What to do about a failure of the last try. `content_began`: the caller has seen a part of the answer."""
        if failure.code not in OTHER_ALIAS or now >= self.deadline:
            return GiveUp(failure)
        if content_began:
            return self._rescue(failure, now)
        following = self._elsewhere(failure, now)
        if following is not None:
            return self._try(following)
        again = self._again(failure, now) if failure.code in AGAIN else None
        patient = failure.retry_after is None or failure.retry_after <= self.model.policy.retries.max_backoff
        if again is not None and patient:
            return self._count(again)
        gone = self._fall_back(failure, now)
        return gone if isinstance(gone, Try) or again is None else self._count(again)

    def hedge_at(self, now: float) -> float | None:
        """When a second call should start if the one that starts `now` has not begun to answer; None: never."""
        hedge = self.model.policy.hedge
        if hedge is None or self._hedged or self.last is None or self.model.hedging.credit < 1.0:
            return None
        wait = hedge.after if hedge.after is not None else self.last.p95()
        return now + wait if wait is not None and now + wait < self.deadline else None

    def hedge(self, now: float) -> Try | None:
        """The second call, on another deployment where there is one, paid from the model's share of second calls;
        None: there is none to be had."""
        if self._hedged or self.last is None or self.model.hedging.credit < 1.0 or now >= self.deadline:
            return None
        live = self.model.pick(now, self._draw(), self._facts, (self.last,))
        if live is None and self.last.available(now):
            live = self.last
        if live is None or live.full:
            return None
        self._hedged = True
        self.model.hedging.credit -= 1.0
        self.attempts += 1
        self._tried.append(live)
        made = Try(live, self.model)
        made.hedge = True
        return made

    def withdraw(self, second: Try) -> None:
        """A second call that was handed out is not made."""
        second.model.hedging.credit += 1.0
        self.attempts -= 1
        if second.live in self._tried:  # not, where the plan has gone on to another alias meanwhile
            self._tried.remove(second.live)

    # ------------------------------------------------------------------ after a failure

    def _elsewhere(self, failure: Failure, now: float) -> LiveDeployment | None:
        """One of the alias that was not tried; after a question too long, only one that takes more."""
        if failure.code in ELSEWHERE:
            return self.model.pick(now, self._draw(), self._facts, self._tried)
        if failure.code == "context_too_long":
            too_small = max((live.deployment.context or 0 for live in self._tried), default=0)
            passed = [live for live in self.model.deployments if (live.deployment.context or 0) <= too_small]
            return self.model.pick(now, self._draw(), self._facts, [*self._tried, *passed])
        return None

    def _again(self, failure: Failure, now: float) -> Try | None:
        """One that was tried, after the pause that the policy and the upstream ask for."""
        retries = self.model.policy.retries
        if self._retries >= retries.max:
            return None
        grown = min(retries.backoff * 2.0**self._retries, retries.max_backoff)
        delay = max(grown * (0.5 + 0.5 * self._draw()), failure.retry_after or 0.0)
        if now + delay >= self.deadline:
            return None
        then = now + delay
        avoid = () if self.last is None else (self.last,)
        live = self.model.pick(then, self._draw(), self._facts, avoid) or self.model.pick(
            then, self._draw(), self._facts
        )
        return None if live is None else Try(live, self.model, delay)

    def _fall_back(self, failure: Failure, now: float, rescue: Rescue = "none") -> Try | GiveUp:
        if self._visited is None or self._agenda is None:
            self._visited, self._agenda = {self.model.name}, []
        task = self.model.model.task
        self._agenda[:0] = self.model.policy.fallbacks.of(failure.code) if failure.code in OTHER_ALIAS else ()
        while self._agenda and len(self._visited) < MOST_ALIASES:
            alias = self._agenda.pop(0)
            if alias in self._visited:
                continue
            self._visited.add(alias)
            model = self._resolve(alias)
            if model is None or model.model.task != task:
                continue
            live = model.pick(now, self._draw(), self._facts)
            if live is None:
                self._agenda[:0] = model.policy.fallbacks.of(model.nothing(now, self._facts).code)
                continue
            self.model, self._tried, self._retries = model, [], 0
            return self._try(live, rescue)
        return GiveUp(failure)

    def _rescue(self, failure: Failure, now: float) -> Try | GiveUp:
        """One more call for an answer that broke in the middle, where the policy pays for it."""
        rescue = self.model.policy.rescue
        if rescue == "none" or self._rescued or failure.code not in AGAIN:
            return GiveUp(failure)
        self._rescued = self._hedged = True
        live = self.model.pick(now, self._draw(), self._facts, self._tried)
        return self._fall_back(failure, now, rescue) if live is None else self._try(live, rescue)

    def _try(self, live: LiveDeployment, rescue: Rescue = "none") -> Try:
        self.attempts += 1
        self.last = live
        self._tried.append(live)
        return Try(live, self.model, 0.0, rescue)

    def _count(self, again: Try) -> Try:
        self.attempts += 1
        self._retries += 1
        self.last = again.live
        return again

"""What would be chosen for a call, and why; nothing is called and nothing is changed by asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interplay.core.errors import NotFound
from interplay.core.failures import Failure
from interplay.core.models.call_facts import CallFacts, estimated_tokens
from interplay.core.models.choosing import expected_price
from interplay.core.models.health import LiveDeployment
from interplay.core.models.policy import FALLBACK_CLASSES
from interplay.core.models.registry import Price
from interplay.core.models.routing import LiveModel
from interplay.ports.clock import Clock
from interplay.use_cases.live_models import Models

_DRAWS: Final = 1_000  # how finely shares are told


@dataclass(frozen=True, slots=True)
class RouteQuestion:
    """A call that is not made. `request` in OpenAI's shape."""

    request: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    key: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


class DeploymentView(msgspec.Struct, frozen=True, omit_defaults=True):
    """`share`: of the calls like this one, from 0 to 1. `reason`: why it is chosen, or passed over."""

    deployment: str
    share: float
    reason: str
    breaker: str
    latency: float | None = None  # seconds, fading; None before the first call
    p95: float | None = None
    inflight: int = 0
    waiting: int = 0
    price: Price | None = None
    weight: float = 1.0
    priority: int = 0


class RouteView(msgspec.Struct, frozen=True, omit_defaults=True):
    """`chosen`: the likeliest. `failure`: what the call would hear when nothing may be called. Health is that of
    the process that was asked."""

    alias: str
    strategy: str
    chosen: str | None
    why: str
    tokens: int
    deployments: list[DeploymentView]
    fallbacks: dict[str, list[str]]
    condition: str | None = None
    affinity: str | None = None
    failure: Failure | None = None
    unknown_aliases: list[str] = []


class ExplainRoute:
    def __init__(self, models: Models, clock: Clock) -> None:
        self._models = models
        self._clock = clock

    async def run(self, project_id: int, alias: str, question: RouteQuestion) -> RouteView:
        """Raises NotFound with near names."""
        models = await self._models.of(project_id, alias)
        model = models.get(alias)
        if model is None:
            raise NotFound.named("model", alias, models)
        facts, now = _facts(question), self._clock.monotonic()
        shares = _shares(model, now, facts)
        chosen = max(shares, key=lambda name: shares[name]) if shares else None
        affine = facts.affine_to(model.policy.affinity) if model.policy.affinity else None
        fallbacks, unknown = _fallbacks(model, models)
        return RouteView(
            alias,
            model.policy.strategy,
            chosen,
            _why(model, chosen, affine),
            facts.tokens,
            [_view(model, live, now, facts, shares.get(live.name, 0.0)) for live in model.deployments],
            fallbacks,
            model.condition_of(facts),
            affine,
            None if chosen is not None else model.nothing(now, facts),
            unknown,
        )


def _facts(question: RouteQuestion) -> CallFacts:
    tokens = estimated_tokens(question.request)
    user = question.user if question.user is not None else question.request.get("user")
    return CallFacts(
        question.request,
        question.metadata,
        question.key,
        user=user if isinstance(user, str) else None,
        headers={name.lower(): value for name, value in question.headers.items()},
        tokens=tokens,
    )


def _shares(model: LiveModel, now: float, facts: CallFacts) -> dict[str, float]:
    """By trying every chance: what `pick` itself would do."""
    found = Counter(
        live.name for n in range(_DRAWS) if (live := model.pick(now, (n + 0.5) / _DRAWS, facts)) is not None
    )
    return {name: count / _DRAWS for name, count in found.items()}


def _why(model: LiveModel, chosen: str | None, affine: str | None) -> str:
    if chosen is None:
        return "no deployment may be called now"
    if affine is not None:
        return f"calls of {affine!r} stay together ({model.policy.affinity})"
    return {
        "priority": "it is the first that may be called",
        "weighted": "chance, by weight",
        "least_latency": "of two at random the one with the least latency × calls in flight",
        "lowest_cost": "it is the cheapest that may be called",
    }[model.policy.strategy]


def _view(model: LiveModel, live: LiveDeployment, now: float, facts: CallFacts, share: float) -> DeploymentView:
    return DeploymentView(
        live.name,
        share,
        model.refusal(live, now, facts) or _merit(model, live, share),
        str(live.state),
        round(live.ewma, 4) if live.was_called else None,
        live.p95(),
        live.inflight,
        live.waiting,
        live.deployment.price,
        live.deployment.weight,
        live.deployment.priority,
    )


def _merit(model: LiveModel, live: LiveDeployment, share: float) -> str:
    """What speaks for or against one that may be called."""
    if live.full:
        return f"its {live.concurrency} places are taken and {live.waiting} wait" + (
            ": the call waits" if share else ""
        )
    strategy = model.policy.strategy
    if strategy == "weighted":
        told = f"weight {live.deployment.weight:g}"
    elif strategy == "least_latency":
        told = f"{live.ewma:.3g} s × {live.inflight + 1}" if live.was_called else "not called yet, so tried soon"
    elif strategy == "lowest_cost":
        price = expected_price(live.deployment)
        known = live.deployment.price is not None
        told = f"{price:.3g} US dollars a million tokens" if known else "its price is not known"
    else:
        told = "may be called"
    if share:
        return f"{told}: gets {share:.0%}"
    level = f"priority {live.deployment.priority} comes later" if live.deployment.priority else "others come first"
    return f"{told}; {level}"


def _fallbacks(model: LiveModel, models: Mapping[str, LiveModel]) -> tuple[dict[str, list[str]], list[str]]:
    """By class, and those that are not there or have another task."""
    lists = {code: list(model.policy.fallbacks.of(code)) for code in (*FALLBACK_CLASSES, "default")}
    lists["default"] = list(model.policy.fallbacks.default)
    named = {alias for aliases in lists.values() for alias in aliases}
    wrong = [alias for alias in sorted(named) if _task(models, alias) != model.model.task]
    return {code: aliases for code, aliases in lists.items() if aliases}, wrong


def _task(models: Mapping[str, LiveModel], alias: str) -> str | None:
    found = models.get(alias)
    return found.model.task if found is not None else None

"""Answers about how calls are routed."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from interplay.contracts.http.answers.models import Price
from interplay.contracts.http.answers.runs import Failure


class DeploymentView(TypedDict):
    """A deployment as a call would find it."""

    deployment: str
    share: float
    """Of the calls like this one, from 0 to 1."""
    reason: str
    """Why it is chosen, or passed over."""
    breaker: str
    latency: NotRequired[float]
    """Seconds, fading; absent before the first call."""
    p95: NotRequired[float]
    """Seconds."""
    inflight: NotRequired[int]
    waiting: NotRequired[int]
    price: NotRequired[Price]
    weight: NotRequired[float]
    priority: NotRequired[int]


class RouteView(TypedDict):
    """What would be chosen for a call. Health is that of the process that was asked."""

    alias: str
    strategy: str
    chosen: str | None
    """The likeliest deployment; None where nothing may be called."""
    why: str
    tokens: int
    """Estimated, of the question."""
    deployments: list[DeploymentView]
    fallbacks: dict[str, list[str]]
    """Aliases by what went wrong."""
    condition: NotRequired[str]
    affinity: NotRequired[str]
    failure: NotRequired[Failure]
    """What the call would hear when nothing may be called."""
    unknown_aliases: NotRequired[list[str]]


class ComparisonSide(TypedDict):
    """One deployment's part."""

    deployment: str
    seconds: float
    answer: NotRequired[Any]
    failure: NotRequired[Failure]


class Comparison(TypedDict):
    """What a shadow answered beside what was given."""

    alias: str
    at: float
    """Seconds since the epoch."""
    asked: Any
    given: ComparisonSide
    shadow: ComparisonSide
    same: NotRequired[bool]
    """Both gave the same; absent: they did not."""


class ComparisonPage(TypedDict):
    """Comparisons, newest first."""

    items: list[Comparison]
    next: None

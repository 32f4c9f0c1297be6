"""How calls of an alias are routed, bounded and mended: what stands below `policy` of a model."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Strategy = Literal["priority", "weighted", "least_latency", "lowest_cost"]
Rescue = Literal["none", "restart", "continue"]
Seconds = Annotated[float, Meta(ge=0, extra={"duration": True})]
Span = Annotated[float, Meta(gt=0, extra={"duration": True})]  # seconds, and not none
Share = Annotated[float, Meta(ge=0, le=1)]
Affinity = Annotated[
    str,
    Meta(pattern=r"^(user|header:[A-Za-z0-9-]{1,64})$", description="`user`, or `header:` and the name of a header"),
]

FALLBACK_CLASSES: Final = ("rate_limited", "unavailable", "timeout", "context_too_long", "content_filtered")


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The first condition that holds decides which deployments may be chosen.

    `when` is CEL over `request`, `metadata` and `key`.
    """

    when: str
    use: Annotated[tuple[str, ...], Meta(min_length=1)]  # names of deployments


class Fallbacks(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Other aliases, by what went wrong; `default` stands for the classes that have no list of their own.

    A request that is wrong (`bad_request`) is wrong everywhere and never falls back.
    """

    rate_limited: tuple[str, ...] | None = None
    unavailable: tuple[str, ...] | None = None
    timeout: tuple[str, ...] | None = None
    context_too_long: tuple[str, ...] | None = None
    content_filtered: tuple[str, ...] | None = None
    default: tuple[str, ...] = ()

    def of(self, code: str) -> tuple[str, ...]:
        """The aliases to go to after a failure of this code."""
        own: tuple[str, ...] | None = getattr(self, code) if code in FALLBACK_CLASSES else None
        return self.default if own is None else own


class Retries(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`max`: how often a deployment that failed is called again, after a pause that doubles and jitters.

    Going on to a deployment that was not tried yet is free and immediate.
    """

    max: Annotated[int, Meta(ge=0, le=10)] = 0
    backoff: Seconds = 0.25
    max_backoff: Seconds = 8.0


class Breaker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A deployment rests for `pause` after `failures` failed calls within `window`, when they are at least `share`
    of its calls there. Then one call probes it; each probe that fails doubles the pause, up to eight times."""

    failures: Annotated[int, Meta(ge=1)] = 5
    window: Span = 30.0
    pause: Span = 5.0
    share: Share = 0.5


class Hedge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A second call where the first is slow: `after` seconds, or the live p95 of the deployment.

    `share`: at most so many second calls for each call. The slower one is cancelled.
    """

    share: Share = 0.05
    after: Seconds | None = None


class Shadow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A share of the calls is sent to another deployment too; its answers are kept for comparison, never given."""

    deployment: str
    share: Share


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`total` bounds everything, retries and fallbacks included."""

    connect: Seconds | None = None
    first_token: Seconds | None = None
    idle: Seconds | None = None  # between two tokens
    total: Seconds | None = None


class SemanticCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Answers of requests that mean the same, by an embedding model of the project."""

    model: str  # an alias with task `embed`
    similarity: Share = 0.95


class CachePolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Answers of equal requests are given again for `ttl`."""

    ttl: Seconds
    semantic: SemanticCache | None = None


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything has a default: deployments are tried in their order, each with a breaker."""

    strategy: Strategy = "priority"
    conditions: tuple[Condition, ...] = ()
    affinity: Affinity | None = None
    fallbacks: Fallbacks = Fallbacks()
    retries: Retries = Retries()
    breaker: Breaker = Breaker()
    hedge: Hedge | None = None
    shadow: Shadow | None = None
    timeouts: Timeouts = Timeouts()
    cache: CachePolicy | None = None
    queue: Annotated[int, Meta(ge=0)] = 1000
    drop_unsupported: bool = False
    rescue: Rescue = "none"

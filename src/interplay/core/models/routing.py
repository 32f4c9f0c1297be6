"""An alias as it is called: its deployments with what is known of their health, and the choice among them.

Nothing here awaits or reads a clock: the gateway's hot path calls `pick` between two bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from interplay.core.failures import Failure
from interplay.core.flows.expressions import ExpressionProblem
from interplay.core.models.call_facts import MOST_CONDITIONS, CallFacts, compile_condition, holds
from interplay.core.models.choosing import CHOOSE, closest
from interplay.core.models.health import BreakerState, LiveDeployment
from interplay.core.models.policy import Fallbacks, Policy
from interplay.core.models.registry import Connection, Model
from interplay.core.tenancy.limits import Limits, Meter
from interplay.core.tenancy.model_meters import model_meters

_CLOSED: Final = BreakerState.CLOSED
_UNLIMITED: Final = Limits()
_MOST_CREDIT: Final = 10.0  # second calls that may be saved up


class HedgeCredit:
    """Second calls that may be made: never more than a share of the calls. Kept across changes."""

    __slots__ = ("credit",)

    def __init__(self) -> None:
        self.credit = 0.0

    def earn(self, share: float) -> None:
        self.credit = min(self.credit + share, _MOST_CREDIT)


class LiveModel:
    """What the snapshot holds for an alias.

    `wants`: which facts `pick` looks at (`request`, `metadata`, `key`, `tokens`, `user`, `header:…`); without any,
    and without fallbacks (`falls_back`), none need be gathered. `seeks_unfiltered`: a filtered answer is to be sought
    elsewhere. `meters` are the alias's own limits; a deployment's `meters` are these and its own.
    """

    __slots__ = (
        "_choose",
        "_conditions",
        "_one_level",
        "_plain",
        "_usual",
        "by_name",
        "deployments",
        "falls_back",
        "hedging",
        "meters",
        "model",
        "name",
        "policy",
        "project_id",
        "seeks_unfiltered",
        "shadow",
        "wants",
    )

    def __init__(
        self,
        project_id: int,
        model: Model,
        deployments: Sequence[LiveDeployment],
        meters: tuple[Meter, ...] = (),
        hedging: HedgeCredit | None = None,
    ) -> None:
        self.project_id = project_id
        self.model = model
        self.name = model.name
        self.policy: Policy = model.policy
        self.falls_back = model.policy.fallbacks != Fallbacks()
        self.seeks_unfiltered = bool(model.policy.fallbacks.of("content_filtered"))
        self.deployments = sorted(deployments, key=lambda live: live.deployment.priority)  # stable: else as given
        self.by_name = {live.name: live for live in self.deployments}
        self.meters = meters
        self.hedging = hedging or HedgeCredit()
        self.shadow = self.by_name.get(self.policy.shadow.deployment) if self.policy.shadow is not None else None
        self._usual = [live for live in self.deployments if live.deployment.weight > 0]
        self._choose = CHOOSE[self.policy.strategy]
        self._one_level = len({live.deployment.priority for live in self.deployments}) < 2
        self._conditions = [
            (compile_condition(condition.when), [live for live in self.deployments if live.name in condition.use])
            for condition in self.policy.conditions[:MOST_CONDITIONS]
        ]
        self.wants = self._wanted()
        self._plain = (  # nothing to look at but the breakers
            bool(self._usual)
            and self._one_level
            and not self._conditions
            and all(live.concurrency is None for live in self.deployments)
        )

    def _wanted(self) -> frozenset[str]:
        wanted = {root for condition, _ in self._conditions for root in condition.roots}
        if self.policy.affinity is not None:
            wanted.add(self.policy.affinity.lower())
        if any(live.deployment.context is not None for live in self.deployments):
            wanted.add("tokens")
        return frozenset(wanted)

    def pick(
        self,
        now: float,
        draw: float,
        facts: CallFacts | None = None,
        avoid: Collection[LiveDeployment] = (),
    ) -> LiveDeployment | None:
        """The deployment to call; None when none may be called now. `draw`: chance, from 0 up to 1.

        One that is `full` is given only when all are: the call then waits for room.
        """
        if self._plain and not avoid and (facts is None or not self.wants):
            for live in self._usual:
                if live.state is not _CLOSED:
                    break
            else:
                return self._choose(self._usual, draw)
        usable = [
            live
            for live in self.allowed(facts)
            if (live.state is _CLOSED or live.available(now)) and (not avoid or live not in avoid)
        ]
        if facts is not None and facts.tokens:
            usable = [live for live in usable if _fits(live, facts.tokens)]
        if not usable:
            return None
        if not self._one_level:
            usable = _of_lowest_level(usable)
        roomy = [live for live in usable if live.concurrency is None or not live.full]
        if not roomy:
            return min(usable, key=lambda live: live.waiting)
        value = facts.affine_to(self.policy.affinity) if facts is not None and self.policy.affinity else None
        return self._choose(roomy, draw) if value is None else closest(roomy, value)

    def allowed(self, facts: CallFacts | None) -> list[LiveDeployment]:
        """Those that the first condition that holds names; without one, all that have a weight."""
        if self._conditions:
            seen = facts or CallFacts()
            for condition, use in self._conditions:
                if holds(condition, seen):
                    return use
        return self._usual

    def condition_of(self, facts: CallFacts) -> str | None:
        """The condition that decides, as it is written."""
        return next((condition.source for condition, _ in self._conditions if holds(condition, facts)), None)

    def refusal(self, live: LiveDeployment, now: float, facts: CallFacts | None = None) -> str:
        """Why `pick` passes a deployment over, in words; empty when it does not."""
        if live not in self.allowed(facts):
            by = self.condition_of(facts or CallFacts())
            return f"the condition {by!r} names others" if by is not None else "its weight is 0"
        if not live.available(now):
            left = max(0.0, live.rests_until - now)
            after = f"after {live.resting_because or 'failures'}"
            return f"it rests for another {left:.1f} s {after}" if left else f"it is being probed {after}"
        if facts is not None and not _fits(live, facts.tokens):
            return f"its context of {live.deployment.context:,} tokens is less than {facts.tokens:,}"
        return ""

    def nothing(self, now: float, facts: CallFacts | None = None) -> Failure:
        """Why there is nothing to pick, as the failure of the call."""
        allowed = self.allowed(facts)
        if not allowed:
            return Failure(
                "not_found",
                f"The model {self.name!r} has no deployment that may be called.",
                advice="Its connections may be gone: `interplay models route` shows each with its reason.",
            )
        resting = [live for live in allowed if not live.available(now)]
        if not resting and facts is not None and facts.tokens:
            most = max(live.deployment.context or 0 for live in allowed)
            return Failure("context_too_long", f"{self.name!r} takes {most:,} tokens, and this is {facts.tokens:,}.")
        limited = bool(resting) and all(live.resting_because == "rate_limited" for live in resting)
        wait = max(0.0, min((live.rests_until for live in resting), default=now) - now)
        causes = ", ".join(f"{live.name}: {live.resting_because}" for live in resting)
        return Failure(
            "rate_limited" if limited else "unavailable",
            f"Every deployment of {self.name!r} rests ({causes}).",
            advice=f"The first is tried again in {wait:.1f} s.",
            retry_after=wait,
        )


def _fits(live: LiveDeployment, tokens: int) -> bool:
    return live.deployment.context is None or tokens <= live.deployment.context


def _of_lowest_level(usable: list[LiveDeployment]) -> list[LiveDeployment]:
    lowest = usable[0].deployment.priority  # they are in order, but a condition may have its own
    lowest = min(lowest, *(live.deployment.priority for live in usable))
    return [live for live in usable if live.deployment.priority == lowest]


def live_model(
    project_id: int,
    model: Model,
    connections: Mapping[str, Connection],
    before: LiveModel | None = None,
) -> LiveModel:
    """The alias as configured now, with the health that `before` knows of deployments that are the same.

    Deployments whose connection is gone are left out. A condition that this release cannot read leaves none: it may
    have been there to keep calls away.
    """
    known = {} if before is None else before.by_name
    meters = model_meters(project_id, model) if model.limits != _UNLIMITED else ()
    made: list[LiveDeployment] = []
    for deployment in model.deployments:
        connection = connections.get(deployment.connection)
        if connection is None:
            continue
        kept = known.get(deployment.label)
        if kept is not None and kept.connection == connection and kept.deployment.model == deployment.model:
            kept.adopt(deployment, connection, model.policy.breaker)
        else:
            kept = LiveDeployment(deployment, connection, model.policy.breaker)
        limited = deployment.limits != _UNLIMITED
        kept.meters = (*meters, *model_meters(project_id, model, deployment)) if limited else meters
        made.append(kept)
    hedging = None if before is None else before.hedging
    try:
        return LiveModel(project_id, model, made, meters, hedging)
    except ExpressionProblem:
        return LiveModel(project_id, msgspec.structs.replace(model, policy=Policy()), (), (), hedging)

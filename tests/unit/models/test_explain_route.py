"""A dry run says what would be chosen and why, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.core.errors import NotFound
from interplay.core.models.policy import Condition, Fallbacks, Policy
from interplay.core.models.registry import Connection, Deployment, Model, Price
from interplay.use_cases.explain_route import ExplainRoute, RouteQuestion, RouteView
from interplay.use_cases.live_models import LiveModels
from tests.unit.models.live import called, deployment


class Asked:
    def __init__(self) -> None:
        self.registry = MemoryModelRegistry()
        self.live = LiveModels(self.registry)
        self.clock = ManualClock()
        self.explain = ExplainRoute(self.live, self.clock)

    async def alias(self, *deployments: Deployment, name: str = "alias", task: Any = "chat", **policy: Any) -> None:
        await self.registry.put_connection(1, Connection("c"))
        await self.registry.put_model(1, Model(name, task, deployments, policy=Policy(**policy)))

    async def __call__(self, **question: Any) -> RouteView:
        return await self.explain.run(1, "alias", RouteQuestion(**question))


@pytest.fixture
def asked() -> Asked:
    return Asked()


def reasons(view: RouteView) -> dict[str, str]:
    return {entry.deployment: entry.reason for entry in view.deployments}


class TestExplainRoute:
    async def test_each_deployment_has_its_reason(self, asked: Asked) -> None:
        await asked.alias(deployment("a"), deployment("b"), deployment("off", weight=0))
        view = await asked()
        assert (view.chosen, view.why) == ("a", "it is the first that may be called")
        assert reasons(view) == {
            "a": "may be called: gets 100%",
            "b": "may be called; others come first",
            "off": "its weight is 0",
        }

    async def test_one_that_rests_says_why_and_for_how_long(self, asked: Asked) -> None:
        await asked.alias(deployment("a"), deployment("b"))
        live = (await asked.live.of(1))["alias"].by_name["a"]
        called(live, asked.clock.monotonic(), 0.0, "timeout", times=5)
        view = await asked()
        assert view.chosen == "b"
        assert reasons(view)["a"] == "it rests for another 5.0 s after timeout"
        assert view.deployments[0].breaker == "open"

    async def test_when_nothing_may_be_called_it_says_what_the_call_would_hear(self, asked: Asked) -> None:
        await asked.alias(deployment("a"))
        live = (await asked.live.of(1))["alias"].by_name["a"]
        called(live, asked.clock.monotonic(), 0.0, "unavailable", times=5)
        view = await asked()
        assert view.chosen is None
        assert view.failure is not None
        assert view.failure.code == "unavailable"

    async def test_shares_follow_the_weights(self, asked: Asked) -> None:
        await asked.alias(deployment("a", weight=3), deployment("b"), strategy="weighted")
        view = await asked()
        assert {entry.deployment: entry.share for entry in view.deployments} == {"a": 0.75, "b": 0.25}
        assert reasons(view)["b"] == "weight 1: gets 25%"

    async def test_costs_are_shown(self, asked: Asked) -> None:
        await asked.alias(
            deployment("a", price=Price(4, 8)), deployment("b", price=Price(1, 1)), strategy="lowest_cost"
        )
        view = await asked()
        assert reasons(view) == {
            "a": "5 US dollars a million tokens; others come first",
            "b": "1 US dollars a million tokens: gets 100%",
        }

    async def test_the_condition_that_decides_is_named(self, asked: Asked) -> None:
        condition = Condition('metadata.tier == "gold"', ("b",))
        await asked.alias(deployment("a"), deployment("b", weight=0), conditions=(condition,))
        view = await asked(metadata={"tier": "gold"})
        assert (view.chosen, view.condition) == ("b", 'metadata.tier == "gold"')
        assert reasons(view)["a"] == """the condition 'metadata.tier == "gold"' names others"""
        assert (await asked()).chosen == "a"

    async def test_a_long_request_goes_to_who_takes_it(self, asked: Asked) -> None:
        await asked.alias(deployment("a", context=1000), deployment("b"))
        view = await asked(request={"messages": [{"role": "user", "content": "x" * 8000}], "max_tokens": 100})
        assert (view.chosen, view.tokens) == ("b", 2100)
        assert reasons(view)["a"] == "its context of 1,000 tokens is less than 2,100"

    async def test_affinity_is_told(self, asked: Asked) -> None:
        await asked.alias(deployment("a"), deployment("b"), affinity="header:X-Session")
        view = await asked(headers={"x-session": "7"})
        assert view.affinity == "7"
        assert sorted(entry.share for entry in view.deployments) == [0.0, 1.0]

    async def test_fallbacks_that_lead_nowhere_are_named(self, asked: Asked) -> None:
        fallbacks = Fallbacks(rate_limited=("other",), default=("gone", "vectors"))
        await asked.alias(deployment("a"), fallbacks=fallbacks)
        await asked.alias(deployment("a"), name="other")
        await asked.alias(deployment("a"), name="vectors", task="embed")
        view = await asked()
        assert view.fallbacks["rate_limited"] == ["other"]
        assert view.fallbacks["timeout"] == ["gone", "vectors"]
        assert view.unknown_aliases == ["gone", "vectors"]

    async def test_asking_changes_nothing(self, asked: Asked) -> None:
        await asked.alias(deployment("a"), deployment("b"), strategy="least_latency")
        first = await asked()
        for _ in range(10):
            assert await asked() == first

    async def test_a_missing_alias_is_named_with_its_nearest(self, asked: Asked) -> None:
        await asked.alias(deployment("a"))
        with pytest.raises(NotFound, match="alias"):
            await asked.explain.run(1, "alis", RouteQuestion())

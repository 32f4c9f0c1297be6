"""The choice among the deployments of an alias, by every strategy, and what it never does."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.models.call_facts import CallFacts
from interplay.core.models.policy import Condition, Shadow
from interplay.core.models.registry import Connection, Model, Price
from interplay.core.models.routing import live_model
from tests.unit.models.live import CONNECTIONS, alias, called, deployment, names

STRATEGIES = ["priority", "weighted", "least_latency", "lowest_cost"]


def share(model: Any, facts: CallFacts | None = None, times: int = 4000) -> dict[str, float]:
    chance = random.Random(7)
    found = Counter(live.name for _ in range(times) if (live := model.pick(0.0, chance.random(), facts)))
    return {name: count / times for name, count in found.items()}


def broken(live: Any, now: float = 0.0) -> None:
    called(live, now, 0.0, "unavailable", times=5)
    assert not live.available(now)


class TestPriority:
    def test_the_first_that_is_there_is_taken(self) -> None:
        model = alias("a", "b")
        assert names(model.pick(0.0, 0.9)) == ["a"]
        broken(model.by_name["a"])
        assert names(model.pick(0.0, 0.1)) == ["b"]

    def test_lower_numbers_come_before_the_order(self) -> None:
        model = alias(deployment("a", priority=2), deployment("b", priority=1))
        assert names(model.pick(0.0, 0.5)) == ["b"]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_every_strategy_stays_within_the_lowest_number_that_is_there(self, strategy: Any) -> None:
        model = alias("a", "b", deployment("c", priority=1, price=Price(0, 0)), strategy=strategy)
        assert set(share(model)) <= {"a", "b"}
        broken(model.by_name["a"])
        broken(model.by_name["b"])
        assert names(model.pick(0.0, 0.5)) == ["c"]


class TestWeighted:
    def test_each_gets_its_share(self) -> None:
        found = share(alias(deployment("a", weight=3), deployment("b", weight=1), strategy="weighted"))
        assert found["a"] == pytest.approx(0.75, abs=0.03)

    def test_one_without_weight_gets_nothing(self) -> None:
        assert share(alias(deployment("a", weight=0), "b", strategy="weighted")) == {"b": 1.0}


class TestLeastLatency:
    def test_the_quick_one_gets_nearly_all(self) -> None:
        model = alias("quick", "slow", strategy="least_latency")
        called(model.by_name["quick"], 0.0, 0.1)
        called(model.by_name["slow"], 0.0, 1.0)
        assert share(model) == {"quick": 1.0}

    def test_calls_in_flight_count(self) -> None:
        model = alias("a", "b", strategy="least_latency")
        model.by_name["a"].begin(0.0)
        assert share(model) == {"b": 1.0}

    def test_of_many_the_slowest_gets_nothing_and_all_others_something(self) -> None:
        model = alias("a", "b", "c", "d", strategy="least_latency")
        for place, live in enumerate(model.deployments):
            called(live, 0.0, 0.1 * (place + 1))
        found = share(model)
        assert found["a"] == pytest.approx(0.5, abs=0.05)
        assert "d" not in found


class TestLowestCost:
    def test_the_cheapest_is_taken_and_an_unknown_price_is_no_low_price(self) -> None:
        model = alias(
            "unknown",
            deployment("dear", price=Price(10, 30)),
            deployment("cheap", price=Price(1, 2)),
            strategy="lowest_cost",
        )
        assert names(model.pick(0.0, 0.5)) == ["cheap"]
        broken(model.by_name["cheap"])
        assert names(model.pick(0.0, 0.5)) == ["dear"]
        broken(model.by_name["dear"])
        assert names(model.pick(0.0, 0.5)) == ["unknown"]


class TestConditions:
    MODEL: Any = staticmethod(
        lambda: alias(
            "usual",
            deployment("eu", weight=0),
            deployment("long", weight=0),
            conditions=(
                Condition('metadata.region == "eu"', ("eu",)),
                Condition("request.tokens > 1000", ("long",)),
            ),
        )
    )

    def test_the_first_that_holds_decides(self) -> None:
        model = self.MODEL()
        assert names(model.pick(0.0, 0.5)) == ["usual"]
        assert names(model.pick(0.0, 0.5, CallFacts(tokens=2000))) == ["long"]
        assert names(model.pick(0.0, 0.5, CallFacts({}, {"region": "eu"}, tokens=2000))) == ["eu"]
        assert names(model.pick(0.0, 0.5, CallFacts(tokens=10))) == ["usual"]

    def test_a_call_that_is_bound_to_one_never_goes_elsewhere(self) -> None:
        model = self.MODEL()
        broken(model.by_name["eu"])
        assert model.pick(0.0, 0.5, CallFacts({}, {"region": "eu"})) is None

    def test_only_the_facts_that_are_looked_at_are_wanted(self) -> None:
        assert self.MODEL().wants == {"metadata", "request"}
        assert alias("a").wants == frozenset()
        assert alias("a", affinity="header:X-Session").wants == {"header:x-session"}

    def test_one_that_this_release_cannot_read_lets_nothing_through(self) -> None:
        model = alias("a", conditions=(Condition("no way(", ("a",)),))
        assert model.pick(0.0, 0.5) is None
        assert model.nothing(0.0).code == "not_found"

    def test_what_they_see_of_a_huge_request_is_small(self) -> None:
        fields = {"messages": [{"content": "x" * 10**6}] * 100, "user": "u" * 10**6, "tokens": 7}
        facts = CallFacts({**fields, **{f"f{i}": i for i in range(999)}}, {"a": {"b": "c", "d": {}}}, tokens=12)
        seen = facts.names()
        assert (seen["request"]["messages"], seen["request"]["tokens"]) == (100, 12)
        assert len(seen["request"]["user"]) == 256
        assert len(seen["request"]) <= 65
        assert seen["metadata"] == {"a": {"b": "c"}}

    def test_among_those_without_weight_chance_decides(self) -> None:
        use = (Condition("true", ("b", "c")),)
        made = ("a", deployment("b", weight=0), deployment("c", weight=0))
        assert share(alias(*made, strategy="weighted", conditions=use)) == pytest.approx({"b": 0.5, "c": 0.5}, abs=0.05)


class TestAffinity:
    def test_the_same_user_stays_with_one(self) -> None:
        model = alias("a", "b", "c", strategy="weighted", affinity="user")
        assert len(share(model, CallFacts(user="ada"))) == 1

    def test_users_are_spread_by_weight(self) -> None:
        model = alias(deployment("a", weight=3), deployment("b", weight=1), affinity="user")
        found = Counter(model.pick(0.0, 0.5, CallFacts(user=f"user-{n}")).name for n in range(2000))
        assert found["a"] / 2000 == pytest.approx(0.75, abs=0.04)

    def test_only_the_users_of_one_that_leaves_move(self) -> None:
        model = alias("a", "b", "c", affinity="header:x-session")
        facts = [CallFacts(headers={"x-session": str(n)}) for n in range(300)]
        before = names(*(model.pick(0.0, 0.5, one) for one in facts))
        broken(model.by_name["b"])
        after = names(*(model.pick(0.0, 0.5, one) for one in facts))
        assert all(b == a for b, a in zip(before, after, strict=True) if b != "b")
        assert "b" not in after


class TestContext:
    def test_one_that_is_too_small_is_passed_over(self) -> None:
        model = alias(deployment("small", context=1000), deployment("large", context=9000))
        assert names(model.pick(0.0, 0.5, CallFacts(tokens=500))) == ["small"]
        assert names(model.pick(0.0, 0.5, CallFacts(tokens=5000))) == ["large"]
        assert model.pick(0.0, 0.5, CallFacts(tokens=50_000)) is None
        assert model.nothing(0.0, CallFacts(tokens=50_000)).code == "context_too_long"


class TestRoom:
    def test_a_full_one_is_taken_only_when_all_are(self) -> None:
        model = alias(deployment("a", concurrency=1), deployment("b", concurrency=1))
        model.by_name["a"].begin(0.0)
        assert names(model.pick(0.0, 0.5)) == ["b"]
        model.by_name["b"].begin(0.0)
        picked = model.pick(0.0, 0.5)
        assert picked is not None
        assert picked.full


class TestRest:
    def test_when_all_rest_the_failure_says_until_when(self) -> None:
        model = alias("a", "b")
        broken(model.by_name["a"])
        broken(model.by_name["b"], 1.0)
        failure = model.nothing(2.0)
        assert failure.code == "unavailable"
        assert failure.retry_after == pytest.approx(3.0)

    def test_when_all_are_limited_it_says_so(self) -> None:
        model = alias("a")
        live = model.by_name["a"]
        live.begin(0.0)
        live.observe(0.0, 0.0, "rate_limited", retry_after=9.0)
        assert model.nothing(1.0).code == "rate_limited"


class TestChanges:
    def test_health_outlives_a_changed_weight(self) -> None:
        before = alias("a", "b")
        broken(before.by_name["a"])
        changed = live_model(
            1, Model("alias", "chat", (deployment("a", weight=9.0), deployment("b"))), CONNECTIONS, before
        )
        assert changed.by_name["a"] is before.by_name["a"]
        assert changed.by_name["a"].deployment.weight == 9.0
        assert names(changed.pick(0.0, 0.5)) == ["b"]

    def test_another_address_or_model_begins_anew(self) -> None:
        before = alias("a")
        broken(before.by_name["a"])
        moved = {"c": Connection("c", base_url="http://127.0.0.1:10/v1")}
        assert live_model(1, before.model, moved, before).pick(0.0, 0.5) is not None
        other = Model("alias", "chat", (deployment("a", model="n"),))
        assert live_model(1, other, CONNECTIONS, before).pick(0.0, 0.5) is not None

    def test_one_whose_connection_is_gone_is_left_out(self) -> None:
        model = live_model(1, Model("alias", "chat", (deployment("a"),)), {})
        assert model.pick(0.0, 0.5) is None

    def test_a_shadow_is_never_picked(self) -> None:
        model = alias("a", deployment("s", weight=0), shadow=Shadow("s", 0.5), strategy="weighted")
        assert share(model) == {"a": 1.0}
        assert names(model.shadow) == ["s"]


class TestAnyAlias:
    @given(
        st.sampled_from(STRATEGIES),
        st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 1)), min_size=1, max_size=5),
        st.floats(0, 1, exclude_max=True),
        st.sets(st.integers(0, 4), max_size=3),
    )
    def test_what_is_picked_is_never_one_that_is_refused(
        self, strategy: Any, shape: list[tuple[bool, float, int]], draw: float, avoided: set[int]
    ) -> None:
        made = [deployment(f"d{i}", weight=weight, priority=level) for i, (_, weight, level) in enumerate(shape)]
        model = alias(*made, strategy=strategy)
        for place, (is_broken, _, _) in enumerate(shape):
            if is_broken:
                broken(model.by_name[f"d{place}"])
        avoid = [model.by_name[f"d{place}"] for place in avoided if place < len(shape)]
        usable = [live for live in model.deployments if not model.refusal(live, 0.0) and live not in avoid]
        picked = model.pick(0.0, draw, None, avoid)
        assert picked in usable if usable else picked is None

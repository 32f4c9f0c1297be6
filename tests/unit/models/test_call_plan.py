"""What a failure leads to; and what no plan ever does, whatever fails in whatever order."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.failures import Failure
from interplay.core.models.call_facts import CallFacts
from interplay.core.models.call_plan import AGAIN, OTHER_ALIAS, CallPlan, GiveUp, Try
from interplay.core.models.policy import Fallbacks, Hedge, Retries
from interplay.core.models.routing import LiveModel
from tests.unit.models.live import alias, called, deployment


@dataclass
class Played:
    """A plan that was carried out: what was tried when, and how it ended."""

    tried: list[tuple[str, str]] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    rescues: list[str] = field(default_factory=list)
    failure: Failure | None = None


def play(
    models: list[LiveModel],
    outcomes: list[Any],
    *,
    deadline: float = 60.0,
    seconds: float = 0.1,
    facts: CallFacts | None = None,
) -> Played:
    """Calls the first alias; each try takes the next outcome: `ok`, a code, a Failure, or `began:code`."""
    by_name = {model.name: model for model in models}
    plan = CallPlan(models[0], deadline, random.Random(3).random, by_name.get, facts)
    played, now, step = Played(), 0.0, plan.first(0.0)
    script = iter(outcomes)
    while isinstance(step, Try):
        now += step.delay
        played.tried.append((step.model.name, step.live.name))
        played.starts.append(now)
        played.rescues.append(step.rescue)
        outcome = next(script, "ok")
        began = isinstance(outcome, str) and outcome.startswith("began:")
        failure = outcome if isinstance(outcome, Failure) else Failure(str(outcome).removeprefix("began:"), "no")
        step.live.begin(now)
        now += seconds
        step.live.observe(now, seconds, failure.code, failure.retry_after)
        if failure.code == "ok":
            return played
        step = plan.after(failure, now, began)
    played.failure = step.failure
    return played


def tried(*names: str, of: str = "alias") -> list[tuple[str, str]]:
    return [(of, name) for name in names]


class TestOtherDeployments:
    def test_one_that_is_away_leads_to_the_next_at_once(self) -> None:
        played = play([alias("a", "b", "c")], ["unavailable", "timeout"])
        assert played.tried == tried("a", "b", "c")
        assert played.starts == pytest.approx([0.0, 0.1, 0.2])

    @pytest.mark.parametrize("code", ["rate_limited", "unauthorized", "not_found"])
    def test_so_does_one_that_is_limited_or_set_up_wrongly(self, code: str) -> None:
        assert play([alias("a", "b")], [code]).tried == tried("a", "b")

    @pytest.mark.parametrize("code", ["bad_request", "invalid_output", "budget_exceeded", "egress_refused"])
    def test_what_is_wrong_everywhere_is_final(self, code: str) -> None:
        models = [
            alias("a", "b", retries=Retries(3), fallbacks=Fallbacks(default=("other",))),
            alias("x", name="other"),
        ]
        played = play(models, [code])
        assert played.tried == tried("a")
        assert played.failure is not None
        assert played.failure.code == code

    def test_a_question_too_long_goes_to_one_that_takes_more(self) -> None:
        model = alias(deployment("a", context=100), deployment("b", context=100), deployment("c", context=1000), "d")
        assert play([model], ["context_too_long"]).tried == tried("a", "c")


class TestRetries:
    def test_without_any_each_deployment_is_tried_once(self) -> None:
        played = play([alias("a", "b")], ["unavailable"] * 9)
        assert played.tried == tried("a", "b")

    def test_pauses_double_and_jitter(self) -> None:
        played = play([alias("a", retries=Retries(3, backoff=1.0))], ["unavailable"] * 3, seconds=0.0)
        pauses = [b - a for a, b in zip(played.starts, played.starts[1:], strict=False)]
        assert len(pauses) == 3
        for pause, most in zip(pauses, (1.0, 2.0, 4.0), strict=True):
            assert most / 2 <= pause <= most
        assert len({pause / most for pause, most in zip(pauses, (1.0, 2.0, 4.0), strict=True)}) == 3, "by chance"

    def test_the_upstream_wish_is_honoured(self) -> None:
        wish = Failure("rate_limited", "later", retry_after=5.0)
        played = play([alias("a", retries=Retries(1, backoff=0.1))], [wish])
        assert played.tried == tried("a", "a")
        assert played.starts[1] >= 5.1

    def test_a_wish_past_the_deadline_is_the_end(self) -> None:
        wish = Failure("rate_limited", "later", retry_after=50.0)
        played = play([alias("a", retries=Retries(1))], [wish], deadline=20.0)
        assert played.tried == tried("a")
        assert played.failure == wish

    def test_a_long_wish_makes_a_fallback_come_first(self) -> None:
        wish = Failure("rate_limited", "later", retry_after=30.0)
        fallbacks = Fallbacks(default=("other",))
        models = [alias("a", retries=Retries(1, max_backoff=2.0), fallbacks=fallbacks), alias("x", name="other")]
        assert play(models, [wish]).tried == [("alias", "a"), ("other", "x")]

    def test_one_with_an_open_breaker_is_not_called_again(self) -> None:
        model = alias("a", retries=Retries(9, backoff=0.01, max_backoff=0.02))
        assert len(play([model], ["unavailable"] * 20, seconds=0.0).tried) == 5


class TestFallbacks:
    def models(self, **more: Any) -> list[LiveModel]:
        fallbacks = Fallbacks(
            rate_limited=("roomy",), context_too_long=("long",), content_filtered=(), default=("other",)
        )
        return [
            alias("a", fallbacks=fallbacks, **more),
            alias("r", name="roomy"),
            alias("l", name="long"),
            alias("o", name="other", fallbacks=Fallbacks(default=("alias", "last"))),
            alias("z", name="last"),
        ]

    @pytest.mark.parametrize(
        ("code", "then"),
        [("rate_limited", "r"), ("context_too_long", "l"), ("unavailable", "o"), ("timeout", "o"), ("not_found", "o")],
    )
    def test_each_class_has_its_own(self, code: str, then: str) -> None:
        assert [live for _, live in play(self.models(), [code]).tried] == ["a", then]

    def test_an_empty_list_stops_where_the_default_would_not(self) -> None:
        assert play(self.models(), ["content_filtered"]).tried == tried("a")

    def test_they_go_on_from_there_without_going_round(self) -> None:
        played = play(self.models(), ["unavailable"] * 9)
        assert [live for _, live in played.tried] == ["a", "o", "z"]

    def test_an_alias_that_rests_leads_on_without_a_call(self) -> None:
        models = self.models()
        called(models[3].deployments[0], 0.0, 0.0, "unavailable", times=5)
        assert [live for _, live in play(models, ["unavailable"]).tried] == ["a", "z"]

    def test_when_the_first_rests_its_fallback_is_the_first_try(self) -> None:
        models = self.models()
        called(models[0].deployments[0], 0.0, 0.0, "unavailable", times=5)
        assert [live for _, live in play(models, []).tried] == ["o"]

    def test_one_of_another_task_or_that_is_gone_is_passed_over(self) -> None:
        models = [alias("a", fallbacks=Fallbacks(default=("gone", "alias"))), alias("x", name="elsewhere")]
        assert play(models, ["unavailable"]).tried == tried("a")
        models = [alias("a", fallbacks=Fallbacks(default=("vectors",))), alias("v", name="vectors", task="embed")]
        assert play(models, ["unavailable"]).tried == tried("a")

    def test_retries_come_before_fallbacks(self) -> None:
        played = play(self.models(retries=Retries(1)), ["unavailable"] * 2)
        assert [live for _, live in played.tried] == ["a", "a", "o"]


class TestAnswersThatBroke:
    def test_no_second_call_is_paid_for_what_had_begun(self) -> None:
        models = [
            alias("a", "b", retries=Retries(3), fallbacks=Fallbacks(default=("other",))),
            alias("x", name="other"),
        ]
        assert play(models, ["began:unavailable"]).tried == tried("a")

    @pytest.mark.parametrize("rescue", ["restart", "continue"])
    def test_unless_the_policy_rescues_it_once(self, rescue: str) -> None:
        played = play([alias("a", "b", "c", rescue=rescue)], ["began:timeout", "began:timeout"])
        assert played.tried == tried("a", "b")
        assert played.rescues == ["none", rescue]

    def test_the_rescue_may_be_another_alias(self) -> None:
        models = [alias("a", rescue="restart", fallbacks=Fallbacks(default=("other",))), alias("x", name="other")]
        played = play(models, ["began:unavailable"])
        assert played.tried == [("alias", "a"), ("other", "x")]
        assert played.rescues == ["none", "restart"]


class TestHedges:
    def plan(self, model: LiveModel) -> CallPlan:
        plan = CallPlan(model, 60.0, random.Random(1).random)
        assert isinstance(plan.first(0.0), Try)
        return plan

    def test_without_the_policy_there_is_none(self) -> None:
        model = alias("a", "b")
        assert self.plan(model).hedge_at(0.0) is None

    def test_it_starts_at_the_live_p95_on_another_deployment(self) -> None:
        model = alias("a", "b", hedge=Hedge(share=1.0))
        called(model.by_name["a"], 0.0, 0.4, times=20)
        plan = self.plan(model)
        assert plan.hedge_at(1.0) == pytest.approx(1.4)
        hedge = plan.hedge(1.4)
        assert hedge is not None
        assert hedge.live.name == "b"
        assert hedge.hedge

    def test_a_call_has_one_at_most(self) -> None:
        plan = self.plan(alias("a", "b", hedge=Hedge(share=1.0, after=0.1)))
        assert plan.hedge(0.1) is not None
        assert plan.hedge(0.2) is None
        assert plan.hedge_at(0.2) is None

    @given(st.floats(0.01, 1.0), st.integers(1, 300))
    def test_never_more_than_the_share_of_the_calls(self, share: float, calls: int) -> None:
        model = alias("a", "b", hedge=Hedge(share=share, after=0.1))
        hedges = 0
        for _ in range(calls):
            plan = self.plan(model)
            if plan.hedge_at(0.0) is not None and plan.hedge(0.1) is not None:
                hedges += 1
        assert hedges <= share * calls + 1e-6


CODES = [
    "unavailable",
    "timeout",
    "rate_limited",
    "context_too_long",
    "content_filtered",
    "unauthorized",
    "bad_request",
]
ALIASES = ("alias", "b", "c", "d")
aliases = st.lists(st.sampled_from([*ALIASES, "gone"]), max_size=3).map(tuple)
policies = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["priority", "weighted", "least_latency", "lowest_cost"]),
        "retries": st.builds(Retries, st.integers(0, 3), st.floats(0, 2), st.floats(0, 10)),
        "fallbacks": st.builds(
            Fallbacks, rate_limited=st.none() | aliases, timeout=st.none() | aliases, default=aliases
        ),
        "rescue": st.sampled_from(["none", "restart", "continue"]),
    }
)
outcomes = st.tuples(
    st.sampled_from(CODES), st.none() | st.floats(0, 100), st.floats(0, 20), st.sampled_from([False] * 4 + [True])
)


@st.composite
def worlds(draw: st.DrawFn) -> list[LiveModel]:
    return [
        alias(*(f"{name}{n}" for n in range(draw(st.integers(1, 3)))), name=name, **draw(policies)) for name in ALIASES
    ]


class TestAnyPlan:
    @settings(max_examples=400, deadline=None)
    @given(worlds(), st.lists(outcomes, min_size=60, max_size=60), st.floats(1, 200), st.randoms())
    def test_it_keeps_every_promise(self, models: list[LiveModel], script: Any, deadline: float, chance: Any) -> None:
        by_name = {model.name: model for model in models}
        plan = CallPlan(models[0], deadline, chance.random, by_name.get)
        bound = sum(len(model.deployments) + model.policy.retries.max for model in models) + 1
        now, step, tries, before = 0.0, plan.first(0.0), 0, None
        had_begun = rescued = False
        while isinstance(step, Try):
            tries += 1
            now += step.delay
            assert tries <= bound, "the number of tries is bounded"
            assert now < deadline, "no try starts past the deadline"
            assert not had_begun or (step.rescue != "none" and not rescued), (
                "what had begun is paid again only to rescue"
            )
            rescued = rescued or step.rescue != "none"
            if before is not None and step.live is before:
                others = [live for live in step.model.deployments if live is not before and live.available(now)]
                assert not others, "not the same broken one twice in a row while another is there"
            assert step.live.available(now), "nothing that rests is called"
            code, wish, seconds, began = script[tries - 1]
            failure = Failure(code, "no", retry_after=wish)
            step.live.begin(now)
            now += seconds
            step.live.observe(now, seconds, code, wish)
            before, had_begun = step.live, had_begun or began
            step = plan.after(failure, now, had_begun)
            if code not in OTHER_ALIAS:
                assert isinstance(step, GiveUp), "what is wrong with the request is final"
            if had_begun and code not in AGAIN:
                assert isinstance(step, GiveUp)
        assert plan.attempts == tries
        if tries:
            assert step.failure is failure, "the caller hears of the last failure"


class TestCost:
    def test_a_choice_takes_microseconds(self) -> None:
        model = alias("a", "b", strategy="least_latency")
        draw = random.Random(1).random
        begun = time.perf_counter()
        assert all(model.pick(0.0, draw()) for _ in range(10_000))
        assert (time.perf_counter() - begun) / 10_000 < 50e-6  # measured: about 1 µs; the bound is for busy machines

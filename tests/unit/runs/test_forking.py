"""Forks: what is kept of the old run and what runs again."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.errors import NotFound
from interplay.core.flows.compile import check_flow
from interplay.core.flows.parse import parse_flow
from interplay.core.flows.plan import Plan
from interplay.core.runs.events import Event, RunStarted, StepProgressed, StepSucceeded, encode_value
from interplay.core.runs.forking import ForkPlan, plan_fork
from tests.factories import Value, branched, const, looped, mapped, plan, ref, step
from tests.pure_run import PureRun
from tests.unit.runs.test_crashes import INNER, everything, world

PRICE = """
flow: price
inputs: {net: integer, country: string, urls: {type: list, items: string, default: []}}
steps:
  found: {set: {net: $inputs.net}}
  tax: {set: {value: "${ found.net * (inputs.country == 'DE' ? 19 : 20) }"}}
  note: {when: tax.value > 100, set: {text: large}}
  pages: {map: {over: $inputs.urls, steps: {get: {set: {u: $item}}}, output: $get.u}}
output: $tax.value
"""
OLD = {"net": 200, "country": "DE", "urls": ["a", "b"]}
KEYS = ("found", "tax", "note", "pages[0].get", "pages[1].get", "pages")


def planned(text: str) -> Plan:
    parsed = parse_flow(text)
    assert parsed.flow is not None
    plan = check_flow(parsed.flow, parsed.source).plan
    assert plan is not None
    return plan


def fork(step: str, new: str = PRICE, **inputs: Any) -> ForkPlan:
    events = [Event(seq, key, 1, StepSucceeded({}, 100.0, 1.0)) for seq, key in enumerate(KEYS, 1)]
    return plan_fork(planned(PRICE), planned(new), events, step, (OLD, {**OLD, **inputs}))


def kept(result: ForkPlan) -> list[str | None]:
    return [event.step_key for event in result.journal]


class TestInputs:
    def test_only_what_reads_a_changed_input_runs_again(self) -> None:
        result = fork("tax", country="FR")
        assert (result.rerun, result.kept) == (["note", "tax"], ["found", "pages"])
        assert "found" in kept(result)

    def test_what_depends_on_such_a_step_runs_again_too(self) -> None:
        assert fork("note", net=300).rerun == ["found", "note", "tax"]

    def test_a_step_before_the_fork_runs_again_when_it_reads_one(self) -> None:
        assert fork("note", country="FR").rerun == ["note", "tax"]

    def test_the_same_value_is_no_change(self) -> None:
        assert fork("note", country="DE").rerun == ["note"]

    def test_true_is_not_one(self) -> None:
        flow = PRICE.replace("net: integer", "net: any").replace("found.net *", "1 *")
        old = planned(flow)
        found = plan_fork(old, old, [], "note", ({**OLD, "net": 1}, {**OLD, "net": True})).rerun
        assert "found" in found


class TestInside:
    def test_beside_the_point_inside_a_step_all_is_kept(self) -> None:
        assert kept(fork("pages[1].get")) == ["found", "tax", "note", "pages[0].get"]

    def test_nothing_inside_is_kept_when_the_list_is_another(self) -> None:
        assert kept(fork("pages[1].get", urls=["c", "d"])) == ["found", "tax", "note"]


def turns() -> Plan:
    """A loop of three turns, each of two steps; beside it one that needs it."""
    more = Value(lambda names: names["carry"] + 1, frozenset({"carry"}))
    enough = Value(lambda names: names["carry"] >= 3, frozenset({"carry"}))
    loop = looped("p", step("x"), step("y", needs=["x"]), carry=0, update=more, until=enough, most=5)
    return plan(step("a"), loop, step("z", needs=["p"]), output=ref("z"))


def forked(run: PureRun, point: str) -> tuple[ForkPlan, PureRun]:
    """The fork of a run, not gone on with yet."""
    made = plan_fork(run.plan, run.plan, run.events(), point, (run.inputs, run.inputs), run.plans)
    fork = PureRun(run.plan, run.inputs, run.world, run.plans)
    fork.journal.clear()
    fork._commit(None, 0, RunStarted(1_000.0, "run-1"))
    for event in made.journal:
        fork._commit(event.step_key, event.attempt, event.body)
    fork.crash()
    return made, fork


def results(run: PureRun) -> list[str | None]:
    return [event.step_key for event in run.events() if isinstance(event.body, StepSucceeded)]


class TestTurns:
    def test_turns_before_the_point_and_what_came_before_it_in_its_turn_are_kept(self) -> None:
        made, fork = forked(PureRun(turns()).run(), "p[1].y")
        assert sorted(map(str, kept(made))) == ["a", "p", "p[0].x", "p[0].y", "p[1].x"]
        assert [e.body.index for e in made.journal if isinstance(e.body, StepProgressed)] == [0]
        assert fork.run().output == {"key": "z"}
        assert fork.calls == [("p[1].y", 1), ("p[2].x", 1), ("p[2].y", 1), ("z", 1)]

    def test_what_a_loop_spent_before_is_not_paid_again(self) -> None:
        made, _ = forked(PureRun(turns()).run(), "p[2].x")
        assert all(e.body.spent is None for e in made.journal if isinstance(e.body, StepProgressed))

    def test_no_step_gets_a_second_result(self) -> None:
        _, fork = forked(PureRun(turns()).run(), "p[1].x")
        assert len(results(fork.run())) == len(set(results(fork)))

    def test_a_turn_an_item_and_a_step_that_are_not_there_are_said_to_be_missing(self) -> None:
        run = PureRun(turns()).run()
        for point in ("p[99].x", "p[1].q", "p.x", "a.b", "a[0]", "p[1].x.y", "p[", "p[1].x[0]"):
            with pytest.raises(NotFound, match="There is no step"):
                forked(run, point)

    def test_a_whole_turn_may_be_the_point(self) -> None:
        made, _ = forked(PureRun(turns()).run(), "p[1]")
        assert "p[0].y" in kept(made)
        assert "p[1].x" not in kept(made)


class TestNested:
    def test_what_depends_on_the_step_around_the_point_runs_again(self) -> None:
        inner = mapped("m", ref("inputs.xs"), step("leaf"), output="leaf.key")
        run = PureRun(plan(mapped("o", ref("inputs.xs"), inner, step("b", needs=["m"]), step("c"), output="b.key")))
        run = PureRun(run.plan, {"xs": [1, 2]}).run()
        made, fork = forked(run, "o[1].m[0].leaf")
        assert {"o[0].b", "o[1].m[1].leaf", "o[1].c"} <= set(kept(made))
        assert not {"o[1].b", "o[1].m", "o", "o[1].m[0].leaf"} & set(kept(made))
        fork.run()
        assert [key for key, _ in fork.calls] == ["o[1].m[0].leaf", "o[1].b"]

    def test_a_flow_inside_keeps_its_version_and_what_lies_before_the_point(self) -> None:
        made, fork = forked(fresh().run(), "sub.b")
        assert {"sub", "sub.a"} <= set(kept(made))
        fork.run()
        assert [key for key, _ in fork.calls if key.startswith("sub")] == ["sub.b"]

    def test_alternatives_are_weighed_together_again(self) -> None:
        flow = plan(branched("cascade", "c", step("one"), step("two"), accept=const(False)), output=ref("c.tier"))
        made, fork = forked(PureRun(flow).run(), "c.two")
        assert kept(made) == []
        assert fork.run().output == "two"

    @given(st.integers(0, 2**32), st.floats(0.0, 0.3))
    @settings(max_examples=60, deadline=None)
    def test_from_any_step_it_ends_as_the_run_did_with_one_result_a_step(self, seed: int, crash: float) -> None:
        dice = random.Random(seed)
        run = fresh().run(dice, 0.2)
        point = dice.choice([str(event.step_key) for event in run.events() if event.step_key is not None])
        _, fork = forked(run, point)
        fork.run(dice, crash)
        assert len(results(fork)) == len(set(results(fork)))
        assert encode_value(fork.output) == encode_value(run.output)
        _, again = forked(fork, dice.choice([str(key) for key in results(fork)]))
        again.run(dice, crash)
        assert len(results(again)) == len(set(results(again)))


def fresh() -> PureRun:
    return PureRun(everything(), {"xs": [1, 2, 3]}, world, {"inner": INNER})


class TestVersions:
    def test_what_the_new_version_does_not_have_is_left_behind(self) -> None:
        without = PRICE.replace("  note: {when: tax.value > 100, set: {text: large}}\n", "")
        assert kept(fork("tax", without)) == ["found", "pages[0].get", "pages[1].get", "pages"]

    def test_a_changed_step_and_what_needs_it_run_again(self) -> None:
        assert fork("note", PRICE.replace("? 19", "? 7")).rerun == ["note", "tax"]

    def test_a_step_that_is_not_there_comes_with_near_names(self) -> None:
        with pytest.raises(NotFound, match="tax"):
            fork("taxx")

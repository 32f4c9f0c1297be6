"""map, loop, ensemble, cascade, race."""

from __future__ import annotations

from typing import Any

from interplay.core.failures import StepFailure
from interplay.core.flows.ir import Policy, Timeout
from tests.factories import Value, branched, const, looped, mapped, plan, ref, step
from tests.pure_run import PureRun, World


def answers(given: dict[str, Any]) -> World:
    """The world answers by key; an exception is raised."""

    def world(key: str, attempt: int, args: dict[str, Any]) -> Any:
        value = given.get(key, {"key": key, **args})
        if isinstance(value, Exception):
            raise value
        return value

    return world


BAD = StepFailure("bad_request", "no")


class TestMap:
    def mapping(self, **options: Any) -> Any:
        inner = step("get", values={"x": ref("item")})
        return plan(mapped("m", ref("inputs.xs"), inner, output="get.x", **options), output=ref("m"))

    def test_results_come_in_the_order_of_the_items(self) -> None:
        run = PureRun(self.mapping(), {"xs": [3, 1, 2]}, answers({}))
        for key in ("m[2].get", "m[0].get", "m[1].get"):
            run.finish(key)
        assert run.output == {"items": [3, 1, 2], "failed": []}

    def test_no_more_items_run_at_once_than_its_concurrency(self) -> None:
        run = PureRun(self.mapping(concurrency=2), {"xs": [1, 2, 3]}, answers({}))
        assert set(run.running) == {"m[0].get", "m[1].get"}
        run.finish("m[0].get")
        assert set(run.running) == {"m[1].get", "m[2].get"}

    def test_an_empty_list_gives_an_empty_list(self) -> None:
        assert PureRun(self.mapping(), {"xs": []}).run().output == {"items": [], "failed": []}

    def test_a_failed_item_fails_the_map(self) -> None:
        run = PureRun(self.mapping(), {"xs": [1, 2]}, answers({"m[1].get": BAD})).run()
        assert run.failure is not None
        assert (run.failure.code, run.failure.where) == ("item_failed", "m[1].get")

    def test_drop_leaves_failed_items_out_and_names_them(self) -> None:
        run = PureRun(self.mapping(on_item_error="drop"), {"xs": [1, 2, 3]}, answers({"m[1].get": BAD})).run()
        assert run.output["items"] == [1, 3]
        assert run.output["failed"][0]["index"] == 1

    def test_null_keeps_the_place_of_failed_items(self) -> None:
        run = PureRun(self.mapping(on_item_error="null"), {"xs": [1, 2, 3]}, answers({"m[1].get": BAD})).run()
        assert run.output["items"] == [1, None, 3]

    def test_what_is_no_list_is_said(self) -> None:
        run = PureRun(self.mapping(), {"xs": {"a": 1}}).run()
        assert run.failure is not None
        assert "an object" in run.failure.detail

    def test_a_map_that_takes_too_long_fails(self) -> None:
        policy = Policy(timeout=Timeout(total=10.0))
        run = PureRun(self.mapping(policy=policy), {"xs": [1, 2]}, answers({}))
        run.pass_time(1_011.0)
        assert run.failure is not None
        assert run.failure.code == "timeout"

    def test_finished_items_take_no_memory(self) -> None:
        run = PureRun(self.mapping(concurrency=1), {"xs": list(range(100))}, answers({})).run()
        assert len(run.machine.steps) == 1


class TestLoop:
    def test_it_carries_on_until_its_condition_holds(self) -> None:
        more = Value(lambda names: {"n": names["carry"]["n"] + 1}, frozenset({"carry"}))
        enough = Value(lambda names: names["carry"]["n"] >= 3, frozenset({"carry"}))
        loop = looped("l", step("a"), carry={"n": 0}, update=more, until=enough, most=10)
        run = PureRun(plan(loop, output=ref("l"))).run()
        assert run.output == {"carry": {"n": 3}, "iterations": 3}
        assert [key for key, _ in run.calls] == ["l[0].a", "l[1].a", "l[2].a"]

    def test_it_stops_at_its_maximum(self) -> None:
        loop = looped("l", step("a"), carry=0, update=const(1), until=const(False), most=4)
        assert PureRun(plan(loop, output=ref("l"))).run().output == {"carry": 1, "iterations": 4}

    def test_a_failure_inside_fails_the_loop(self) -> None:
        loop = looped("l", step("a"), carry=0, update=const(1), until=const(False), most=4)
        run = PureRun(plan(loop), world=answers({"l[1].a": BAD})).run()
        assert run.failure is not None
        assert run.failure.where == "l[1].a"


class TestRace:
    def test_the_first_success_wins_and_the_others_are_cancelled(self) -> None:
        run = PureRun(plan(branched("race", "r", step("a"), step("b")), output=ref("r")))
        run.finish("r.b")
        assert run.output == {"winner": "b", "output": {"key": "r.b"}}
        assert run.kinds("r.a") == ["step.cancelled"]

    def test_a_failure_does_not_win(self) -> None:
        world = answers({"r.a": BAD})
        run = PureRun(plan(branched("race", "r", step("a"), step("b")), output=ref("r.winner")), world=world)
        assert run.run().output == "b"

    def test_when_all_fail_the_reasons_are_told(self) -> None:
        world = answers({"r.a": BAD, "r.b": BAD})
        run = PureRun(plan(branched("race", "r", step("a"), step("b"))), world=world).run()
        assert run.failure is not None
        assert "a: no" in run.failure.detail


class TestCascade:
    def cascade(self) -> Any:
        sure = Value(lambda names: names["confidence"] >= 0.8, frozenset({"confidence"}))
        return plan(branched("cascade", "c", step("cheap"), step("dear"), accept=sure), output=ref("c"))

    def test_a_good_answer_of_the_first_tier_is_taken(self) -> None:
        run = PureRun(self.cascade(), world=answers({"c.cheap": {"confidence": 0.9}})).run()
        assert run.output["tier"] == "cheap"
        assert run.calls == [("c.cheap", 1)]

    def test_the_last_tier_is_always_taken(self) -> None:
        world = answers({"c.cheap": {"confidence": 0.2}, "c.dear": {"confidence": 0.1}})
        assert PureRun(self.cascade(), world=world).run().output["tier"] == "dear"

    def test_a_tier_that_fails_leaves_it_to_the_next(self) -> None:
        world = answers({"c.cheap": BAD, "c.dear": {"confidence": 0.1}})
        assert PureRun(self.cascade(), world=world).run().output["tier"] == "dear"

    def test_an_answer_nobody_can_judge_is_better_than_none(self) -> None:
        world = answers({"c.cheap": {"text": "x"}, "c.dear": BAD})
        assert PureRun(self.cascade(), world=world).run().output["tier"] == "cheap"


class TestEnsemble:
    def voting(self, **options: Any) -> Any:
        return plan(branched("ensemble", "e", step("a"), step("b"), step("c"), **options), output=ref("e"))

    def labels(self, **given: str) -> World:
        return answers({f"e.{branch}": {"label": label} for branch, label in given.items()})

    def test_the_majority_wins(self) -> None:
        run = PureRun(self.voting(answer="label"), world=self.labels(a="bad", b="good", c="good")).run()
        assert run.output["winner"] == "good"
        assert run.output["agreement"] == 2 / 3
        assert run.output["answers"] == {"a": "bad", "b": "good", "c": "good"}

    def test_it_stops_early_once_the_vote_cannot_change(self) -> None:
        world = self.labels(a="good", b="good", c="bad")
        run = PureRun(self.voting(answer="label", quorum=2, stop_early=True), world=world).run()
        assert run.kinds("e.c") == ["step.cancelled"]

    def test_too_few_answers_fail_it(self) -> None:
        world = answers({"e.a": BAD, "e.b": BAD, "e.c": {"label": "x"}})
        run = PureRun(self.voting(answer="label", quorum=2), world=world).run()
        assert run.failure is not None
        assert run.failure.code == "no_quorum"

    def test_a_judge_names_the_winner(self) -> None:
        judge = step("judge", "chat", values={"answers": ref("answers")})
        world = answers({"e.judge": {"text": " b "}, "e.a": {"text": "1"}, "e.b": {"text": "2"}, "e.c": BAD})
        run = PureRun(self.voting(combine="judge", judge=judge), world=world).run()
        assert run.output["winner"] == "2"

    def test_a_judge_that_names_nobody_fails_it(self) -> None:
        judge = step("judge", "chat")
        world = answers({"e.judge": {"text": "the tall one"}})
        run = PureRun(self.voting(combine="judge", judge=judge), world=world).run()
        assert run.failure is not None
        assert run.failure.code == "invalid_output"

    def test_rankings_are_fused(self) -> None:
        ranks = {"e.a": {"ids": [1, 2, 3]}, "e.b": {"ids": [2, 1, 3]}, "e.c": {"ids": [2, 3, 1]}}
        run = PureRun(self.voting(combine="rank_fuse", answer="ids"), world=answers(ranks)).run()
        assert run.output["winner"][0] == 2

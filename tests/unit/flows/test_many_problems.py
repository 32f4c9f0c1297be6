"""Flows that are wrong a thousand times, and flows that an older release accepted."""

from __future__ import annotations

import time

from interplay.core.flows.compile import compile_flow
from interplay.core.flows.ir import Flow, Join, Policy, Step
from interplay.core.flows.suggestions import listed, nearest
from tests.unit.flows.checking import check_steps, problems_of


class TestManyProblems:
    def test_a_thousand_are_told_soon_and_each_shortly(self) -> None:
        began = time.perf_counter()
        steps = "\n".join(f"s{i}: {{set: {{x: $t{i}.v, y: '${{ u{i} + 1 }}'}}}}" for i in range(1_000))
        problems = check_steps(steps)
        assert len(problems) == 2_000
        assert max(len(str(problem)) for problem in problems) < 1_000
        assert time.perf_counter() - began < 20

    def test_near_names_are_found_among_many(self) -> None:
        names = [f"{letter}{number}" for letter in "abcdef" for number in range(1_000)]
        assert nearest("repli", [*names, "reply"]) == ["reply"]
        assert listed(names).endswith("and 5,970 more")

    def test_more_expressions_than_are_compiled_are_told_once_and_soon(self) -> None:
        began = time.perf_counter()
        steps = "a: {set: {x: '" + "${ 1 }" * 10_001 + "'}}\nb: {set: {x: '${ 1 }'}, when: 1 > 0}"
        (problem,) = check_steps(steps)
        assert problem.code == "too_large"
        assert time.perf_counter() - began < 5

    def test_what_is_said_of_a_long_value_is_short(self) -> None:
        for value in ("x" * 100_000, "$" + "x" * 100_000, "${ " + "x" * 7_000 + " }"):
            fields = f"url: 'http://x', method: '{value}', body: '{value}'"
            for problem in check_steps(f"a: {{http: {{{fields}}}, retry: '{value}'}}"):
                assert len(str(problem)) < 3_000

    def test_a_secret_in_the_output_is_told(self) -> None:
        (problem,) = problems_of("flow: f\nsteps: {a: {set: {x: 1}}}\noutput: {k: secret://k}")
        assert (problem.code, problem.path) == ("secret", "output.k")

    def test_an_expression_in_braces_has_its_column(self) -> None:
        (problem,) = check_steps("a: {set: {x: 1}, when: '${ inputs.m }'}")
        assert problem.place.column == 30


class TestOlderRelease:
    def test_what_it_accepted_still_runs_though_it_would_be_refused_now(self) -> None:
        first = Step("set", {"v": 1}, Policy(when="1 > 0"))
        joined = Step("set", {"w": "$a.v", "x": "$b.v"}, Policy(join=Join("any")))
        plan = compile_flow(Flow("f", {"a": first, "b": Step("set", {"v": 2}), "c": joined}, output="$c.w"))
        assert plan.root.steps["c"].needs == {"a", "b"}

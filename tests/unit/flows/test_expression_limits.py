"""What a hostile expression, or a hostile input to a kind one, cannot do."""

from __future__ import annotations

import resource
import time
from typing import Any

import pytest

from interplay.core.failures import StepFailure
from interplay.core.flows.expressions import ExpressionProblem, compile_expression
from interplay.core.flows.types import ANY

TEN = "[0,1,2,3,4,5,6,7,8,9]"


def evaluate(source: str, x: Any) -> Any:
    return compile_expression(source, {"x": ANY}).evaluate({"x": x})


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class TestHostileExpression:
    @pytest.mark.parametrize(
        ("source", "x"),
        [
            (f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, {TEN}.map(d, {TEN}.map(e, e)))))", 0),
            ("x.map(a, x.map(b, x.map(c, x)))", list(range(500))),
            ("x.map(a, x)", list(range(10_000))),
            ("x.map(a, a)", list(range(10_001))),
            ("size(x.map(a, a))", list(range(9_000))),
            ("[x.filter(a, true)]", list(range(9_000))),
            ("x.all(a, x.all(b, x.all(c, true)))", list(range(500))),
            ("x.split('').map(c, x)", "a" * 100_000),
            ("x.split('').map(c, x).join('')", "a" * 100_000),
            ("[x.split(',').map(c, c)]", "," * 9_000),
            ("x.replace('a', x)", "a" * 100_000),
            ("{'k': x.map(a, x)}", {str(i): "v" * 50 for i in range(1_500)}),
            ("x.map(a, [1, 2, 3].map(b, x))", {str(i): "v" * 50 for i in range(1_500)}),
            ("x.filter(a, a != x)", [["v" * 50]] * 10_000),
            ("x.replace('a', x).replace('a', x).replace('a', x)", "a" * 1_000),
            ("[x, x].join(x).replace('a', x)", "a" * 10_000),
            (f"x.replace('', '{'a' * 100}')", "a" * 2**20),
            ("x.map(a, x + x + x + x).map(b, b + b + b + b)", ["a" * 100_000] * 100),
            (f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, x + x)))", "a" * 100_000),
        ],
    )  # fmt: skip
    def test_it_is_stopped_soon_and_small(self, source: str, x: Any) -> None:
        began, before = time.perf_counter(), megabytes()
        with pytest.raises(StepFailure) as failed:
            evaluate(source, x)
        assert failed.value.failure.code == "expression"
        assert time.perf_counter() - began < 5
        assert megabytes() - before < 400

    @pytest.mark.parametrize("hidden", [r"r'\d'", r'r"\""', r"'\''", "'//'", "'''it's'''", '"""\\""""'])
    def test_texts_hide_no_operators_behind_them(self, hidden: str) -> None:
        with pytest.raises((StepFailure, ExpressionProblem), match=r"too much|quote"):
            evaluate(f"({hidden}) + " + " + ".join(["x"] * 20), "a" * 8_000_000)

    @pytest.mark.parametrize(
        ("source", "x", "size"),
        [
            ("x.map(a, a + 1)", list(range(10_000)), 10_000),
            ("x.filter(a, a > 10)", list(range(10_000)), 9_989),
            ("x.replace('a', 'b')", "a" * 1_000_000, 1_000_000),
            ("x.split(',')", "a," * 50_000, 50_001),
            ("x + x", "a" * 1_000_000, 2_000_000),
            ("[x.map(a, a.t + '!')]", [{"t": "v" * 500}] * 1_000, 1),
            ("[x.map(a, a)]", list(range(2_000)), 1),
            ("x.join(', ')", ["ab"] * 1_000, 3_998),
        ],
    )
    def test_an_honest_one_over_much_data_works(self, source: str, x: Any, size: int) -> None:
        assert len(evaluate(source, x)) == size

    def test_a_pattern_that_backtracks_elsewhere_does_not_here(self) -> None:
        began = time.perf_counter()
        assert evaluate("x.matches('(a*)*b')", "a" * 100_000) is False
        assert time.perf_counter() - began < 2

    def test_maps_and_filters_follow_one_another_a_few_times(self) -> None:
        assert evaluate("x" + ".filter(a, a > 1)" * 4, [1, 2]) == [2]
        with pytest.raises(ExpressionProblem, match="more than 4"):
            evaluate("x" + ".filter(a, a > 1)" * 5, [1, 2])

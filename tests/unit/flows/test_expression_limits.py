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


TEXTS = [f"{n:05}" * 200 for n in range(3_000)]


class TestWhatEachTurnWalks:
    """CEL keeps the interpreter's lock while it evaluates: what would take long is refused before it begins."""

    @pytest.mark.parametrize(
        ("source", "x"),
        [
            ("x.exists(a, x.join('') == a)", TEXTS),
            ("x.exists(a, x.join('').contains(a + 'b'))", TEXTS),
            ("x.exists(a, 'b' in x)", ["a"] * 9_999),
            ("x.exists(a, x.exists(b, a + b == 'b'))", TEXTS),
            ("x.exists(a, y(x))".replace("y(x)", "x[0].lowerAscii() == a"), ["A" * 1_000_000, *"b" * 2_000]),
            ("x.exists(a, x[0].split('') == a)", ["a" * 100_000, *"b" * 200]),
            ("x.exists(a, x[0].replace('aa', 'b') == a)", ["a" * 100_000, *"b" * 200]),
            ("x.exists(a, x[0].trim() == a)", [" " * 100_000, *"b" * 2_000]),
            ("x.exists(a, x[0].reverse() == a)", ["a" * 100_000, *"b" * 2_000]),
            ("x.exists(a, x[0].matches('^[a-z]+$') == (a == '1'))", ["a" * 100_000, *"b" * 2_000]),
            ("x.exists(a, a.matches('(b?){1000}c'))", ["a"] * 9_000),
            ("x.exists(a, a.matches(x[0]))", ["(b?){1000}c"] + ["a"] * 2_000),
            ("x.exists(a, first(x, [])[0] + 'c' == a)", TEXTS),
            ("x.map(a, x).exists(b, b.join('') == 'c')", TEXTS[:1_000]),
            ("x.matches('(a?){1000}b')", "a" * 100_000),
            ("x.contains(x.substring(500000) + 'b')", "a" * 1_000_000),
            ("x.indexOf(x.substring(500000) + 'b')", "a" * 1_000_000),
            ("x.lastIndexOf('b' + x.substring(500000))", "a" * 1_000_000),
            ("x.split(x.substring(500000) + 'b')", "a" * 1_000_000),
            ("x == x" + " && x == x" * 700, list(range(100_000))),
            ("size(x)", list(range(1_000_000))),
            ("size(x)", [[]] * 300_000),
            ("[[1]" + ".map(a, [a, a])" * 28 + "]", 1),
            ("optional.of(x)" + ".optMap(v, v + v + v + v + v + v + v + v)" * 4 + ".value()", "a" * 100_000),
        ],
    )  # fmt: skip
    def test_is_counted(self, source: str, x: Any) -> None:
        expression = compile_expression(source, {"x": ANY})
        began = time.thread_time()
        with pytest.raises(StepFailure) as failed:
            expression.evaluate({"x": x})
        assert failed.value.failure.code == "expression"
        assert time.thread_time() - began < 1

    def test_what_doubles_with_each_macro_does_not_compile(self) -> None:
        began = time.thread_time()
        with pytest.raises(ExpressionProblem, match="more than 4 of optMap"):
            compile_expression("optional.of(x)" + ".optMap(v, v)" * 20 + ".value()", {"x": ANY})
        assert time.thread_time() - began < 1

    @pytest.mark.parametrize(
        ("source", "x", "result"),
        [
            ("x.exists(a, a.id in ['d9', 'd8'])", [{"id": f"d{n}"} for n in range(2_000)], True),
            ("x.docs.exists(d, d.id in x.keep)",
             {"docs": [{"id": f"d{n}", "text": "word " * 100} for n in range(1_000)], "keep": ["d999"]}, True),
            ("x.docs.exists(d, d.tags.exists(t, t == d.main))",
             {"docs": [{"tags": ["a", "b"], "main": "b", "text": "word " * 100}] * 500}, True),
            ("x.docs.all(d, d.score > x.least && size(d.text) > 1)",
             {"docs": [{"score": 2, "text": "word " * 100}] * 1_000, "least": 1}, True),
            ("x.exists(a, a.contains('b'))", ["a" * 1_000] * 3_000, False),
            ("x.text.contains(x.word)", {"text": "word " * 200_000, "word": "sword"}, False),
            ("x.text.matches('[0-9]{4}-[0-9]{2}')", {"text": "word " * 10_000}, False),
            ("size(x) > 100 && x[0] == 0", list(range(100_000)), True),
            ("x.filter(d, d.n > 5).exists(d, d.n == 7)", [{"n": n} for n in range(1_000)], True),
        ],
    )  # fmt: skip
    def test_an_honest_one_is_computed(self, source: str, x: Any, result: Any) -> None:
        assert evaluate(source, x) == result

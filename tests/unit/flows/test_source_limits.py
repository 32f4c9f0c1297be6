"""Files that are meant to hurt, and files of noise."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.flows.parse import parse_flow
from interplay.core.flows.source import MOST_DEPTH, MOST_NODES, from_data, read_yaml
from tests.unit.flows.checking import problems_of

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{', '.join(['*' + chr(97 + level)] * 9)}]\n" for level in range(8)
)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


class TestLimits:
    @pytest.mark.parametrize(
        "text",
        [
            BOMB,
            "a: &a [*a]",
            "[" * 5_000,
            "{" * 5_000,
            "a: " + "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
            "? " * 2_000,
            "a: " + "x" * (1024 * 1024),
            "a: &a " + "x" * 100_000 + "\nb: [" + ", ".join(["*a"] * 1_000) + "]",
        ],
        ids=["bomb", "recursive", "brackets", "braces", "deep", "questions", "long", "repeated"],
    )
    def test_too_much_is_told_and_soon(self, text: str) -> None:
        began = time.perf_counter()
        source = read_yaml(text, "f.yaml")
        assert [problem.code for problem in source.problems] in (["too_large"], ["yaml"])
        assert time.perf_counter() - began < 10

    def test_data_has_the_same_limits(self) -> None:
        assert [p.code for p in from_data(nested(MOST_DEPTH + 1)).problems] == ["too_large"]
        assert [p.code for p in from_data([0] * (MOST_NODES + 1)).problems] == ["too_large"]
        assert from_data(nested(MOST_DEPTH - 1)).problems == []


class TestNoise:
    @given(st.text(max_size=200))
    def test_any_text_is_read_or_told(self, text: str) -> None:
        source = read_yaml(text)
        assert source.problems or source.data is None or isinstance(source.data, str | int | float | list | dict)

    @given(st.lists(st.sampled_from(list("ab:-[]{}#&*!|>'\"%@`$ \n\t,?0.~")), max_size=80).map("".join))
    def test_any_pile_of_signs_is_read_or_told(self, text: str) -> None:
        for problem in read_yaml(text).problems:
            assert problem.message
            assert problem.place.line >= 1
            assert problem.place.column >= 1


class TestTimeOfACheck:
    """Processor time; the bounds leave room for a slow machine."""

    @pytest.mark.parametrize(
        "text",
        [
            "flow: a\ninputs:\n" + "".join(f"  k{n}: string\n" for n in range(60_000)),
            "flow: a\nsteps: {a: {set: {" + ", ".join(f"k{n}: 1" for n in range(90_000)) + "}}}\n",
            "flow: a\nsteps: {a: {set: [" + "1," * 400_000 + "]}}\n",
            "flow: a\n" + "steps: !x ${ a: b }\n" * 3_000,
            "flow: a\nsteps:\n" + "".join(f"  s{n}: {{set: ${{ {n} ? {{a: 1}} : 2 }}}}\n" for n in range(1_400)),
        ],
        ids=["inputs", "keys", "list", "traps", "braces"],
    )
    def test_a_file_that_is_too_much_is_refused_soon(self, text: str) -> None:
        began = time.thread_time()
        problems = parse_flow(text, "f.yaml").problems
        assert problems
        assert time.thread_time() - began < 6

    def test_the_problem_says_how_many_values_are_allowed(self) -> None:
        text = "flow: a\nsteps: {a: {set: {" + ", ".join(f"k{n}: 1" for n in range(90_000)) + "}}}\n"
        assert [str(problem) for problem in parse_flow(text, "f.yaml").problems] == [
            "f.yaml:1:1: the file has more than 25,000 values."
        ]

    @pytest.mark.parametrize(
        "steps",
        [
            "  a: {set: {" + ", ".join(f"k{n}: v" for n in range(24_900)) + "}}\n",
            "".join(f"  s{n}: {{set: {{v: '${{ {n} + 1 }}'}}}}\n" for n in range(1_400)),
            "  i: {set: {" + ", ".join(f"k{n}: {n}" for n in range(1_400)) + "}}\n"
            "  a: {set: {" + ", ".join(f"k{n}: '${{ i.k{n} + 1 }}'" for n in range(1_400)) + "}}\n",
        ],
        ids=["values", "expressions", "expressions over names of their own"],
    )
    def test_the_most_that_is_allowed_is_checked_soon(self, steps: str) -> None:
        began = time.thread_time()
        assert problems_of(f"flow: a\nsteps:\n{steps}") == []
        assert time.thread_time() - began < 8

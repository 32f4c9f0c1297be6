"""Sizes that keep a file and a function within one look.

Why: a reader holds about a hundred lines in mind. What is longer hides a second
responsibility; what takes more than a handful of parameters hides a missing noun.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.architecture.conftest import MakeTree
from tests.architecture.source_tree import Function, Module, SourceTree, expect_none

FILE_MEDIAN, FILE_P95, FILE_MOST = 100, 350, 600
FUNCTION_P95, FUNCTION_MOST = 40, 80
PARAMETERS_P95, PARAMETERS_MOST = 5, 8
TEST_FILE_MOST = 900


def percentile(numbers: Iterable[int], share: float) -> int:
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    """How many a caller sees: `self` and `cls` do not count."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    variable = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return len([a for a in named if a.arg not in {"self", "cls"}]) + len(variable)


def sized(modules: list[Module]) -> list[Module]:
    """Files that hold code: a package's own line or two would only flatter the median."""
    return [module for module in modules if not module.path.endswith("__init__.py")]


def too_long_files(modules: list[Module], most: int) -> list[str]:
    return [f"{m.path}: {m.lines} lines, at most {most}: split it by responsibility" for m in modules if m.lines > most]


def too_long_functions(modules: list[Module]) -> list[str]:
    return [
        f"{m.place(f.lineno)}: {f.name} has {length(f)} lines, at most {FUNCTION_MOST}: name its parts"
        for m in modules
        for f in m.functions()
        if length(f) > FUNCTION_MOST
    ]


def too_many_parameters(modules: list[Module]) -> list[str]:
    return [
        f"{m.place(f.lineno)}: {f.name} has {parameters(f)} parameters, at most {PARAMETERS_MOST}: find their noun"
        for m in modules
        for f in m.functions()
        if parameters(f) > PARAMETERS_MOST
    ]


class TestSourceFiles:
    def test_none_is_over_the_hard_limit(self, tree: SourceTree) -> None:
        expect_none(too_long_files(tree.product, FILE_MOST))

    def test_the_median_is_within_one_look(self, tree: SourceTree) -> None:
        assert percentile((m.lines for m in sized(tree.product)), 0.5) <= FILE_MEDIAN

    def test_nineteen_of_twenty_are_short(self, tree: SourceTree) -> None:
        assert percentile((m.lines for m in sized(tree.product)), 0.95) <= FILE_P95


class TestFunctions:
    def test_none_is_over_the_hard_limit(self, tree: SourceTree) -> None:
        expect_none(too_long_functions(tree.product))

    def test_nineteen_of_twenty_are_short(self, tree: SourceTree) -> None:
        assert percentile((length(f) for m in tree.product for f in m.functions()), 0.95) <= FUNCTION_P95

    def test_none_takes_too_many_parameters(self, tree: SourceTree) -> None:
        expect_none(too_many_parameters(tree.product))

    def test_nineteen_of_twenty_take_few(self, tree: SourceTree) -> None:
        assert percentile((parameters(f) for m in tree.product for f in m.functions()), 0.95) <= PARAMETERS_P95


class TestTestFiles:
    def test_none_is_over_the_hard_limit(self, tree: SourceTree) -> None:
        expect_none(too_long_files(tree.tests, TEST_FILE_MOST))


class TestTheseRulesCanFail:
    def test_a_long_file_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/long.py": "x = 1\n" * (FILE_MOST + 1)})
        assert too_long_files(tree.product, FILE_MOST)

    def test_a_file_at_the_limit_is_not(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/long.py": "x = 1\n" * FILE_MOST})
        assert not too_long_files(tree.product, FILE_MOST)

    def test_a_long_function_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/a.py": "class A:\n  async def f(self):\n" + "    x = 1\n" * FUNCTION_MOST})
        assert too_long_functions(tree.product)

    def test_many_parameters_are_found(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/a.py": "def f(a, b, /, c, *d, e, g, h, i, **j): ..."})
        assert too_many_parameters(tree.product)

    def test_self_does_not_count_as_a_parameter(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/a.py": "class A:\n  def f(self, a, b, c, d, e, f, g, h): ..."})
        assert not too_many_parameters(tree.product)

    def test_percentiles_are_of_the_upper_end(self) -> None:
        assert percentile(range(100), 0.95) == 95
        assert percentile([7], 0.5) == 7

"""Names: the same noun in each layer, and no drawer for whatever is left over."""

from __future__ import annotations

import ast

from tests.architecture.conftest import MakeTree
from tests.architecture.source_tree import Module, SourceTree, expect_none

# Why: a module of this name attracts everything and promises nothing.
DRAWERS = frozenset({"utils", "util", "helpers", "helper", "common", "base", "misc", "manager"})


def drawers(modules: list[Module]) -> list[str]:
    found = []
    for module in modules:
        words = {part for name in module.path.removesuffix(".py").split("/") for part in name.split("_")}
        if words & DRAWERS:
            found.append(f"{module.path}: {', '.join(words & DRAWERS)} says nothing; name what it is for")
    return found


def promises(tree: SourceTree) -> dict[str, list[str]]:
    """The Protocols of each file in `ports`, by the file's noun."""
    found: dict[str, list[str]] = {}
    for module in tree.modules("src/interplay/ports"):
        classes = [
            node.name
            for node in module.tree.body
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(parent) for parent in node.bases)
        ]
        if classes:
            found[module.name.rpartition(".")[2]] = classes
    return found


def misnamed_promises(tree: SourceTree) -> list[str]:
    """Why: who knows the noun finds the port, its implementations and their suite without a search."""
    return [
        f"src/interplay/ports/{noun}.py: promises {', '.join(classes)}; "
        f"a port's file has one Protocol of the file's noun: {noun.title().replace('_', '')}"
        for noun, classes in promises(tree).items()
        if classes != [noun.title().replace("_", "")]
    ]


def ports_without_a_twin(tree: SourceTree) -> list[str]:
    """Why: with a twin in memory of every port, tests need no mocks of our own code."""
    return [
        f"src/interplay/adapters/memory/{noun}.py: missing, the in-memory twin of ports/{noun}.py"
        for noun in promises(tree)
        if f"src/interplay/adapters/memory/{noun}.py" not in tree.paths
    ]


def ports_without_a_suite(tree: SourceTree) -> list[str]:
    """Why: one suite run on every implementation is what makes them exchangeable."""
    return [
        f"tests/conformance/test_{noun}.py: missing, the suite that every implementation of ports/{noun}.py passes"
        for noun in promises(tree)
        if f"tests/conformance/test_{noun}.py" not in tree.paths
    ]


class TestModules:
    def test_none_is_a_drawer(self, tree: SourceTree) -> None:
        expect_none(drawers([*tree.product, *tree.tests, *tree.modules("tools", "benchmarks", "examples", "deploy")]))


class TestPorts:
    def test_each_file_promises_one_thing_of_its_name(self, tree: SourceTree) -> None:
        expect_none(misnamed_promises(tree))

    def test_each_has_a_twin_in_memory(self, tree: SourceTree) -> None:
        expect_none(ports_without_a_twin(tree))

    def test_each_has_a_conformance_suite(self, tree: SourceTree) -> None:
        expect_none(ports_without_a_suite(tree))


class TestTheseRulesCanFail:
    def test_a_drawer_is_found_in_any_part_of_a_path(self, made_up: MakeTree) -> None:
        tree = made_up(
            {"src/interplay/core/run_utils.py": "", "src/interplay/common/ids.py": "", "src/interplay/a.py": ""}
        )
        assert len(drawers(tree.product)) == 2

    def test_a_port_alone_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/ports/run_store.py": "class RunStore(Protocol): ..."})
        assert ports_without_a_twin(tree)
        assert ports_without_a_suite(tree)
        assert not misnamed_promises(tree)

    def test_a_second_promise_in_a_file_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/ports/run_store.py": "class RunStore(Protocol): ...\nclass B(Protocol): ..."})
        assert misnamed_promises(tree)

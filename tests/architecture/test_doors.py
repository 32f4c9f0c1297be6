"""One door for each thing that the outside gives: settings, SQL, the machine itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.conftest import MakeTree
from tests.architecture.source_tree import Module, SourceTree, expect_none

SETTINGS = "src/interplay/settings.py"
SQL_HOME = "src/interplay/adapters/postgres/"
STATEMENT = re.compile(
    r"^\s*(?:select\s.+\sfrom\s|select\s+\w+\(|select\s+\d+\s*$|insert\s+into\s|update\s+\w+\s+(?:\w+\s+)?set\s"
    r"|delete\s+from\s|with\s+\w+\s+as\s*\(|merge\s+into\s|truncate\s+table\s|(?:listen|notify)\s+\w+\s*$"
    r"|(?:create|alter|drop)\s+(?:table|index|schema|extension|database|role)\s)",
    re.IGNORECASE | re.DOTALL,
)

# Written in parts, so that this file does not find itself.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("deb", "debian", "org"),
        ("maven", "org"),
    )
)
LOCK_FILES = ("uv.lock", "package-lock.json", "pnpm-lock.yaml")
MACHINE_PATH = re.compile(r"(?<![\w.\-$}>/])/(?:work|home/[a-z]\w*|Users/\w+|root/(?!\{)\w+|tmp/\w+)/[\w.\-]+")


def reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return (
            isinstance(node.value, ast.Name)
            and node.value.id == "os"
            and node.attr in {"environ", "getenv", "environb"}
        )
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in {"environ", "getenv"} for alias in node.names)
    return isinstance(node, ast.keyword) and node.arg in {"envvar", "auto_envvar_prefix", "env_file"}


def other_readers_of_the_environment(tree: SourceTree) -> list[str]:
    """Why: a setting that is read elsewhere is listed nowhere, checked by nobody and set in vain."""
    return [
        f"{module.place(getattr(node, 'lineno', 0))}: reads the environment; make it a field of {SETTINGS}"
        for module in tree.product
        if module.path != SETTINGS
        for node in ast.walk(module.tree)
        if reads_environment(node)
    ]


def strings(module: Module) -> Iterator[ast.Constant]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def sql_elsewhere(tree: SourceTree) -> list[str]:
    """Why: who changes a table finds every statement that knows it in one folder."""
    return [
        f"{module.place(text.lineno)}: SQL; give it a name in {SQL_HOME}"
        for module in tree.product
        if not module.path.startswith(SQL_HOME)
        for text in strings(module)
        if STATEMENT.match(str(text.value))
    ]


def machine_paths(tree: SourceTree) -> list[str]:
    """Why: a path of somebody's machine works there only."""
    return [
        f"{path}:{number}: {match.group()} is a path of one machine"
        for path, text in tree.text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := MACHINE_PATH.search(line))
    ]


def registry_hosts(tree: SourceTree) -> list[str]:
    """Why: which registry a user reaches is for their own package manager's settings to say."""
    return [
        f"{path}:{number}: names the registry host {host}"
        for path, text in tree.text_files()
        if path.rpartition("/")[2] not in LOCK_FILES
        for number, line in enumerate(text.splitlines(), 1)
        for host in REGISTRIES
        if host in line
    ]


def waits_that_swallow(tree: SourceTree) -> list[str]:
    """Why: in Python 3.11 `asyncio.wait_for` swallows a cancellation that comes together with its result;
    a loop around it then never ends. `asyncio.timeout` does not."""
    return [
        f"{module.place(node.lineno)}: asyncio.wait_for may swallow a cancellation; use `async with asyncio.timeout()`"
        for module in tree.product
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "wait_for" and ast.unparse(node.value) == "asyncio"
    ]


class TestWaiting:
    def test_no_wait_swallows_a_cancellation(self, tree: SourceTree) -> None:
        expect_none(waits_that_swallow(tree))


class TestEnvironment:
    def test_only_the_settings_read_it(self, tree: SourceTree) -> None:
        expect_none(other_readers_of_the_environment(tree))


class TestSql:
    def test_it_stands_in_one_folder(self, tree: SourceTree) -> None:
        expect_none(sql_elsewhere(tree))


class TestTrackedFiles:
    def test_none_names_a_path_of_one_machine(self, tree: SourceTree) -> None:
        expect_none(machine_paths(tree))

    def test_none_names_a_registry(self, tree: SourceTree) -> None:
        expect_none(registry_hosts(tree))


class TestTheseRulesCanFail:
    def test_a_wait_that_swallows_is_found(self, made_up: MakeTree) -> None:
        assert waits_that_swallow(
            made_up({"src/interplay/use_cases/a.py": "async def f():\n  await asyncio.wait_for(x, 1)"})
        )

    @pytest.mark.parametrize(
        "line",
        [
            "import os\nx = os.environ['A']",
            "from os import getenv",
            "option('--a', envvar='A')",
            "import os\nos.getenv('A')",
        ],
    )
    def test_another_reader_of_the_environment_is_found(self, made_up: MakeTree, line: str) -> None:
        assert other_readers_of_the_environment(made_up({"src/interplay/cli/a.py": line}))

    def test_the_settings_may(self, made_up: MakeTree) -> None:
        assert not other_readers_of_the_environment(made_up({SETTINGS: "import os\nx = os.environ"}))

    @pytest.mark.parametrize(
        "text",
        [
            "select 1",
            "select a,\n b from run",
            "\n  INSERT INTO runs VALUES (1)",
            "update run r set a = 1",
            "with u as (x) y",
        ],
    )
    def test_sql_elsewhere_is_found(self, made_up: MakeTree, text: str) -> None:
        assert sql_elsewhere(made_up({"src/interplay/use_cases/a.py": f'X = """{text}"""'}))

    def test_prose_is_no_sql(self, made_up: MakeTree) -> None:
        text = "X = ['Select a flow, then update it', 'Update the set', 'Delete what is from yesterday', 'with x as y']"
        assert not sql_elsewhere(made_up({"src/interplay/core/a.py": text}))

    @pytest.mark.parametrize("path", ["home/jo/src/a.py", "Users/jo/a", "work/tree/x", "root/notes/a.md"])
    def test_a_path_of_one_machine_is_found(self, made_up: MakeTree, path: str) -> None:
        assert machine_paths(made_up({"docs/a.md": f"see /{path}"}))

    @pytest.mark.parametrize("path", ["~/.interplay", "/api/v1/runs", "/dev/shm/x", "src/home/jo/a.py"])
    def test_other_paths_are_not(self, made_up: MakeTree, path: str) -> None:
        assert not machine_paths(made_up({"docs/a.md": f"see {path}"}))

    def test_a_registry_is_found_outside_lock_files(self, made_up: MakeTree) -> None:
        tree = made_up({"docs/a.md": f"from https://{REGISTRIES[0]}/simple", "uv.lock": REGISTRIES[0]})
        assert len(registry_hosts(tree)) == 1

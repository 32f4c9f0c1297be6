"""What the rules look at: the Python files of a checkout, or of a small made-up one."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "interplay"
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file. `path` is relative to the checkout, with forward slashes."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def name(self) -> str:
        """The dotted name: `interplay.core.runs` for its `__init__.py` too."""
        parts = self.path.removesuffix(".py").removeprefix("src/").split("/")
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def functions(self) -> Iterator[Function]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imports(self) -> Iterator[tuple[str, int]]:
        """Each imported module's absolute dotted name, with its line."""
        for node in ast.walk(self.tree):
            yield from imported_by(node, self)

    def place(self, line: int) -> str:
        return f"{self.path}:{line}"


def imported_by(node: ast.AST, module: Module) -> Iterator[tuple[str, int]]:
    """What one import statement imports; nothing for other nodes. `from a import b` gives `a.b`."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, node.lineno
    elif isinstance(node, ast.ImportFrom):
        source = node.module or ""
        if node.level:
            package = module.name.split(".")
            if not module.path.endswith("__init__.py"):
                package = package[:-1]
            source = ".".join([*package[: len(package) - node.level + 1], *filter(None, [source])])
        for alias in node.names:
            yield f"{source}.{alias.name}", node.lineno


class SourceTree:
    """A checkout. Only tracked files count; a folder that is no checkout counts whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @functools.cached_property
    def paths(self) -> list[str]:
        """Every file, relative to the root."""
        if (self.root / ".git").exists():
            listed = subprocess.run(
                ["git", "ls-files", "-z"], cwd=self.root, capture_output=True, text=True, check=True
            ).stdout.split("\0")
            return sorted(path for path in listed if path and (self.root / path).is_file())
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())

    def modules(self, *under: str) -> list[Module]:
        """The Python files below these folders."""
        wanted = tuple(f"{folder}/" for folder in under)
        chosen = [path for path in self.paths if path.endswith(".py") and path.startswith(wanted)]
        return [Module(path, (self.root / path).read_text(encoding="utf-8")) for path in chosen]

    @functools.cached_property
    def product(self) -> list[Module]:
        return self.modules(f"src/{PACKAGE}")

    @functools.cached_property
    def tests(self) -> list[Module]:
        return self.modules("tests")

    def text_files(self) -> Iterator[tuple[str, str]]:
        """Each file that is text, with its content."""
        for path in self.paths:
            try:
                yield path, (self.root / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def expect_none(found: list[str]) -> None:
    """Fails with every finding on a line of its own."""
    if found:
        pytest.fail("\n".join(["this breaks a rule of the house:", *found]), pytrace=False)

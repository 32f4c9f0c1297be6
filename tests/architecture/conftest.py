"""The tree that the rules are held against, and small made-up ones that break them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT, SourceTree

MakeTree = Callable[[dict[str, str]], SourceTree]


@pytest.fixture(scope="session")
def tree() -> SourceTree:
    """This checkout."""
    return SourceTree(ROOT)


@pytest.fixture
def made_up(tmp_path: Path) -> MakeTree:
    """Makes a tree of the given files."""

    def make(files: dict[str, str]) -> SourceTree:
        for path, text in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return SourceTree(tmp_path)

    return make

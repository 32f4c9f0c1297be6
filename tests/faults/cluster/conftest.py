"""The cluster with a history, a provider with a ledger, and the table of what was survived."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.cluster.stage import Stage
from tests.faults.history import keep_history
from tests.provider_server import ProviderServer, provider_server
from tools.cluster.cluster import Cluster

_ROWS: list[tuple[str, str, str]] = []
_STAGE = pytest.StashKey[Stage]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    stage = item.stash.get(_STAGE, None)
    if stage is not None and report.when == "call":
        name = item.name.removeprefix("test_").replace("_", " ")
        _ROWS.append((name, "; ".join(stage.figures), "passed" if report.passed else "FAILED"))
        if report.failed:
            report.sections.append(("history", "\n".join([f"INTERPLAY_TEST_SEED={stage.seed}", *stage.history])))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _ROWS:
        terminalreporter.section("faults of the cluster")
        widths = [max(len(row[place]) for row in _ROWS) for place in range(3)]
        for row in _ROWS:
            terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


@pytest.fixture(scope="session")
def remembering(cluster: Cluster) -> Cluster:
    asyncio.run(keep_history(cluster.database))
    return cluster


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


@pytest.fixture
async def stage(
    remembering: Cluster, provider: ProviderServer, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Stage]:
    seed = int(os.environ.get("INTERPLAY_TEST_SEED") or random.randrange(2**32))
    print(f"INTERPLAY_TEST_SEED={seed}")
    made = request.node.stash[_STAGE] = Stage(remembering, provider, tmp_path / "home", seed)
    await made.open()
    yield made
    await made.close()
    await made.whole()

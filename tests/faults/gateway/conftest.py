"""One gateway process on each face for all scenarios, a machine whose API says what was accounted, and the score."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from interplay.core.models.registry import Connection, Deployment, Model
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.faults.gateway.acts import answers
from tests.faults.gateway.score import SCENARIOS, Played, Tally, passed_of, table
from tests.faults.gateway.stage import WITNESS, GatewayProcess, Scene, serving
from tests.postgres_server import PostgresServer, drop_database, fresh_database
from tests.services.gateway.raw_upstream import raw_upstream

_TALLY = pytest.StashKey[Tally]()
_PLAYED: list[Played] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(name): the fault scenario that a test plays, for the score")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("scenario")
    if marker is not None and (report.when == "call" or report.failed):
        tally = item.stash.get(_TALLY, Tally())
        face = item.callspec.params.get("gateway", "") if hasattr(item, "callspec") else ""
        _PLAYED.append(Played(marker.args[0], str(face), report.passed, tally))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _PLAYED:
        return
    passed, seen = passed_of(_PLAYED)
    terminalreporter.section("faults of the gateway")
    for line in table(_PLAYED):
        terminalreporter.write_line(line)
    left = f"; not played: {', '.join(sorted(set(SCENARIOS) - seen))}" if set(SCENARIOS) - seen else ""
    terminalreporter.write_line(f"\nscore: {len(passed)} of {len(SCENARIOS)} scenarios passed{left}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def control(postgres_server: PostgresServer) -> AsyncIterator[Machine]:
    """A machine beside the gateways, over the same database: through it they are set up and asked."""
    url = await fresh_database(postgres_server)
    with tempfile.TemporaryDirectory(prefix="control-") as home:
        settings = load_settings(
            home=Path(home), database_url=url, port=0, egress_allow="127.0.0.0/8", workers=0, gateway_face="protocol"
        )
        async with run_machine(settings, announce=False) as machine, raw_upstream(answers()) as healthy:
            await machine.platform.models.put_connection(1, Connection(WITNESS, base_url=healthy.url))
            await machine.platform.models.put_model(1, Model(WITNESS, "chat", (Deployment(WITNESS, "up"),)))
            yield machine
    await drop_database(postgres_server, url)


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=["protocol", "asgi"])
async def gateway(request: pytest.FixtureRequest, control: Machine) -> AsyncIterator[GatewayProcess]:
    url = control.platform.settings.database_url
    assert url is not None
    with tempfile.TemporaryDirectory(prefix="gateway-") as home:
        async with serving(url, Path(home), request.param) as process:
            yield process


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """The test's line in the score."""
    made = request.node.stash[_TALLY] = Tally()
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def scene(control: Machine, gateway: GatewayProcess, tally: Tally) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        made = Scene(control, gateway, stack, tally)
        yield made
        await made.close()

"""A whole machine in this process with models behind servers that play scripts, and clients of its gateway.

One machine serves a whole file of tests; each test has fresh deployments, whose health nobody knows yet.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from interplay.core.models.policy import Policy
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.postgres_server import PostgresServer, drop_database, fresh_database
from tests.provider_server import ProviderServer, provider_server

_TURNS = itertools.count(1)


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[ProviderServer, ProviderServer]]:
    with provider_server() as one, provider_server() as two:
        yield one, two


@pytest.fixture
def provider(providers: tuple[ProviderServer, ProviderServer]) -> ProviderServer:
    return _fresh(providers[0])


@pytest.fixture
def other(providers: tuple[ProviderServer, ProviderServer]) -> ProviderServer:
    return _fresh(providers[1])


def _fresh(server: ProviderServer) -> ProviderServer:
    server.play()
    server.ledger.clear()
    return server


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["protocol", "asgi"])
async def running(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Machine]:
    """On both faces: they are two ways to say the same."""
    url = await fresh_database(postgres_server)
    home: Path = tmp_path_factory.mktemp("home")
    settings = load_settings(
        home=home, database_url=url, port=0, egress_allow="127.0.0.0/8", workers=1, gateway_face=request.param
    )
    async with run_machine(settings, announce=False) as machine:
        yield machine
    await drop_database(postgres_server, url)


@pytest_asyncio.fixture(loop_scope="module")
async def machine(running: Machine, provider: ProviderServer, other: ProviderServer) -> Machine:
    await put_models(running, provider, other)
    return running


async def put_models(machine: Machine, provider: ProviderServer, other: ProviderServer) -> None:
    """A connection that differs, if only by a little, is a deployment that nobody knows."""
    timeout = 5.0 + next(_TURNS) / 1000
    models = machine.platform.models
    await models.put_connection(1, Connection("one", base_url=provider.url, timeout=timeout))
    await models.put_connection(1, Connection("two", base_url=other.url, timeout=timeout))
    both = (Deployment("one", "up-one"), Deployment("two", "up-two"))
    for model in (
        Model("gpt", "chat", both),
        Model("alone", "chat", both[:1]),
        Model("vectors", "embed", both[:1]),
        Model("ranks", "rerank", both[:1]),
    ):
        await models.put_model(1, model)
    await machine.platform.tenancy.snapshots.refresh()


async def put_policy(machine: Machine, alias: str, policy: Policy, *names: str) -> None:
    """The alias with this policy, over the deployments of these connections."""
    deployments = tuple(Deployment(name, f"up-{name}") for name in names or ("one", "two"))
    await machine.platform.models.put_model(1, Model(alias, "chat", deployments, policy=policy))
    await machine.platform.tenancy.snapshots.refresh()


@pytest_asyncio.fixture(loop_scope="module")
async def http(machine: Machine) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {machine.token}"}
    async with httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False, timeout=20) as made:
        yield made

"""A machine with models behind a server that plays a script and a published flow, for clients that others wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from interplay.client import AsyncClient
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.postgres_server import PostgresServer, drop_database, fresh_database
from tests.provider_server import ProviderServer, provider_server
from tools.made_once import npm_packages

NODE = Path(__file__).resolve().parent / "node"
ASK = """
flow: ask
inputs: {question: string}
steps:
  answer: {chat: {model: gpt, prompt: "{{ inputs.question }}"}, stream: true}
output: {answer: $answer.text}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


@pytest.fixture
def provider(server: ProviderServer) -> ProviderServer:
    server.play()
    server.ledger.clear()
    return server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def machine(
    server: ProviderServer, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Machine]:
    url = await fresh_database(postgres_server)
    home: Path = tmp_path_factory.mktemp("home")
    settings = load_settings(home=home, database_url=url, port=0, egress_allow="127.0.0.0/8")
    async with run_machine(settings, announce=False) as running:
        models = running.platform.models
        await models.put_connection(1, Connection("one", base_url=server.url))
        for name, task in (("gpt", "chat"), ("vectors", "embed")):
            await models.put_model(1, Model(name, task, (Deployment("one", f"up-{name}"),)))  # type: ignore[arg-type]
        await running.platform.tenancy.snapshots.refresh()
        async with AsyncClient(running.url, running.token) as client:
            saved = await client.flows.put("ask", ASK)
            await client.flows.set_channel("ask", "prod", saved["version"])
        yield running
    await drop_database(postgres_server, url)


@pytest.fixture(scope="session")
def node_folder() -> Path:
    """The folder with OpenAI's Node SDK in it."""
    return npm_packages("openai-node", NODE.iterdir())

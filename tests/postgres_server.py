"""Real PostgreSQL for tests: one server a session, one fresh database a test.

Loaded by the conftest of `tests`. A test that asks for `database_url` gets the URL of an
empty database of its own, dropped afterwards. Override the session fixture
`database_template` to have it copied from a migrated database instead.
`INTERPLAY_TEST_POSTGRES` names another server to use, by the URL of a superuser.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from interplay.adapters.postgres.embedded import EmbeddedPostgres

_NUMBERS = itertools.count(1)


class PostgresServer:
    """A started server. `url` is of its own database, which tests leave alone."""

    def __init__(self, url: str) -> None:
        self.url = url

    def url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def fresh_database(server: PostgresServer, template: str | None = None) -> str:
    """Makes a new database, empty or a copy of `template` (a name; nobody may be connected to it); its URL."""
    name = f"test_{next(_NUMBERS)}"
    source = f'"{template}"' if template else "template0"
    # WAL_LOG copies a small database without a checkpoint, which FILE_COPY would force.
    await server.execute(f'CREATE DATABASE "{name}" TEMPLATE {source} STRATEGY wal_log')
    return server.url_of(name)


async def drop_database(server: PostgresServer, url: str) -> None:
    """Drops it, whoever is still connected."""
    name = urlsplit(url).path.removeprefix("/")
    await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[PostgresServer]:
    if another := os.environ.get("INTERPLAY_TEST_POSTGRES"):
        yield PostgresServer(another)
        return
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        embedded = EmbeddedPostgres(Path(folder) / "postgres")
        url = await embedded.start()
        try:
            yield PostgresServer(url)
        finally:
            await embedded.stop()


@pytest.fixture(scope="session")
def database_template() -> str | None:
    """The name of the database to copy for each test; None for an empty one."""
    return None


@pytest_asyncio.fixture
async def database_url(postgres_server: PostgresServer, database_template: str | None) -> AsyncIterator[str]:
    url = await fresh_database(postgres_server, database_template)
    try:
        yield url
    finally:
        await drop_database(postgres_server, url)

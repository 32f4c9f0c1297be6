"""The ledger's schema: whether it is the one of this release, and how it becomes that.

Alembic and SQLAlchemy are imported only when there is something to migrate: a warm start reads one row.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from pathlib import Path
from typing import Any, Final

import asyncpg

from interplay.adapters.postgres.connection import translated
from interplay.core.errors import SetupError

HEAD: Final = "0012"  # the last of `migrations/versions`
KNOWN: Final = frozenset({"0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0012"})
_LOCK: Final = 0x1E7_11  # advisory lock: one migration at a time


class SchemaState(Enum):
    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    AHEAD = "ahead"  # made by a newer release


async def schema_state(url: str) -> SchemaState:
    """Reads only. Raises Unavailable when the database is away."""
    async with translated():
        connection = await asyncpg.connect(url)
        try:
            if await connection.fetchval("select to_regclass('schema_version')") is None:
                return SchemaState.EMPTY
            version = await connection.fetchval("select version_num from schema_version")
        finally:
            await connection.close()
    if version == HEAD:
        return SchemaState.CURRENT
    if version is None:
        return SchemaState.EMPTY
    return SchemaState.BEHIND if version in KNOWN else SchemaState.AHEAD


async def migrate(url: str) -> bool:
    """Brings the schema to this release. False: it was there already.

    Raises SetupError for a schema of a newer release, which is not touched. Several callers at once
    wait for one another.
    """
    state = await schema_state(url)
    refuse_newer(state)
    if state is SchemaState.CURRENT:
        return False
    async with translated():
        guard = await asyncpg.connect(url)
        try:
            await guard.execute("select pg_advisory_lock($1)", _LOCK)
            if await schema_state(url) is SchemaState.CURRENT:
                return False
            await asyncio.to_thread(lambda: asyncio.run(_upgrade(url)))
        finally:
            await guard.close()
    return True


def refuse_newer(state: SchemaState) -> None:
    if state is SchemaState.AHEAD:
        raise SetupError(
            "The database was made by a newer release of Interplay, so this one does not touch it.",
            where="schema_version",
            advice="Upgrade this installation, or point INTERPLAY_HOME or INTERPLAY_DATABASE_URL elsewhere.",
        )


async def _upgrade(url: str) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))

    async def connect() -> Any:
        return await asyncpg.connect(url)

    def run(connection: Any) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()

"""The first connection: the database `interplay` is there and lets us in."""

from __future__ import annotations

from interplay.adapters.postgres.embedded.errors import EmbeddedPostgresError
from interplay.adapters.postgres.embedded.listening import DATABASE, Listening

_CONNECT_SECONDS = 30


async def ensure_database(listening: Listening, password: str) -> None:
    """Connects once; makes the database where someone dropped it."""
    import asyncpg

    try:
        try:
            connection = await asyncpg.connect(listening.url(password), timeout=_CONNECT_SECONDS)
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(listening.url(password, "postgres"), timeout=_CONNECT_SECONDS)
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    except asyncpg.InvalidPasswordError as error:
        raise EmbeddedPostgresError(
            "The password kept in this home is not the one of its database.",
            advice="Remove the file `password` beside the database's `data` folder and start again: a new one is set.",
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        detail = f"PostgreSQL started but did not let its own supervisor in ({error})."
        raise EmbeddedPostgresError(detail, advice="Its log, beside its `data` folder, may say why.") from error
    await connection.close()

"""Connections to the ledger: a pool for callers, dedicated ones for the engine, and errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from interplay.core.errors import InvalidInput, Unavailable

GONE: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
# The plan that is right for a handful of keys among millions, whatever the statistics say at the moment.
ENGINE_SETTINGS: Final = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "application_name": "interplay-engine",
    "idle_in_transaction_session_timeout": "10000",
}
_SINCE: Final = {"transaction_timeout": 17}  # settings that an older PostgreSQL refuses a connection for


# Errors with these classes of SQLSTATE speak of the moment or of the whole ledger (connections, transactions,
# resources, locks, the schema, the operator, the system), so the same statement may work later. So may one that
# met a shelf that is missing (the only check there is) or rows that are there already. All others are about a value.
_MOMENTARY: Final = frozenset({"08", "25", "40", "42", "53", "55", "57", "58"})
_MENDABLE: Final = (asyncpg.CheckViolationError, asyncpg.UniqueViolationError)


def refuses_a_value(error: BaseException) -> bool:
    """Whether a statement with the same values will be refused again, however often it is sent."""
    if isinstance(error, asyncpg.PostgresError):
        code = str(error.sqlstate or "")
        return code[:2] not in _MOMENTARY and not isinstance(error, _MENDABLE)
    return isinstance(error, ValueError | TypeError | OverflowError) and not isinstance(error, asyncpg.InterfaceError)


@contextlib.asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turns what the driver raises when the database is away into Unavailable."""
    try:
        yield
    except asyncpg.UndefinedTableError as missing:
        raise Unavailable(
            f"The database has no Interplay schema: {missing}.", advice="Run `interplay migrate`.", retry_after=5.0
        ) from missing
    except asyncpg.DataError as wrong:
        raise InvalidInput(
            f"A value cannot be kept: {_words(wrong)}.", advice="Texts may not hold the character NUL."
        ) from wrong
    except asyncpg.ProgramLimitExceededError as large:
        raise InvalidInput(
            f"A value cannot be kept: {_words(large)}.", advice="A name or a key is too long."
        ) from large
    except GONE as away:
        raise Unavailable(f"The database does not answer: {_words(away)}.", retry_after=1.0) from away


def _words(error: BaseException) -> str:
    """The server's own words, or the system's. What the driver says of its own state is told in ours; what it says
    of an address or a value (ValueError) is its to say."""
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(error, ValueError):
        return "the connection to it broke off"
    text = str(error).strip().split("\n", 1)[0].rstrip(".")
    return text or type(error).__name__


async def _keep(_connection: Any) -> None:
    """Nothing to reset: no code of ours changes a session's state."""


class Database:
    """One database. Opens connections at first need; `close` ends them all."""

    def __init__(self, url: str, most: int = 10, command_timeout: float = 30.0) -> None:
        self.url = url
        self._most = most
        self._timeout = command_timeout
        self._pool: Any = None

    async def _opened(self) -> Any:
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                self.url,
                min_size=0,
                max_size=self._most,
                command_timeout=self._timeout,
                timeout=5.0,
                reset=_keep,
                server_settings={"jit": "off", "application_name": "interplay"},
            )
        await self._pool
        return self._pool

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        """A connection from the pool. Raises Unavailable when the database is away or the pool stays empty."""
        async with translated():
            pool = await self._opened()
            async with pool.acquire(timeout=5.0) as connection:
                yield connection

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        async with self.session() as connection:
            await connection.fetchval("select 1")

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self.session() as connection, connection.transaction():
            yield connection

    async def dedicated(self, **settings: str) -> Any:
        """A connection of its own for one part of the engine. The caller closes it."""
        newer = {name: settings.pop(name) for name in _SINCE if name in settings}
        async with translated():
            connection = await asyncpg.connect(
                self.url, timeout=5.0, command_timeout=60.0, server_settings={**ENGINE_SETTINGS, **settings}
            )
            for name, value in newer.items():
                if connection.get_server_version().major >= _SINCE[name]:
                    await connection.execute(f"set {name} = {value}")
            return connection

    async def close(self) -> None:
        if self._pool is not None:
            with contextlib.suppress(*GONE):
                await self._pool.close()
            self._pool = None


class Line:
    """One dedicated connection, opened when needed and thrown away after any error. `lock`: one user at a time."""

    def __init__(self, database: Database, **settings: str) -> None:
        self.lock = asyncio.Lock()
        self._database = database
        self._settings = settings
        self._connection: Any = None
        self._prepared: dict[str, Any] = {}

    async def connection(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._prepared.clear()
            self._connection = await self._database.dedicated(**self._settings)
        return self._connection

    async def prepared(self, statement: str) -> Any:
        connection = await self.connection()
        if statement not in self._prepared:
            self._prepared[statement] = await connection.prepare(statement)
        return self._prepared[statement]

    def discard(self) -> None:
        """After an error nobody knows what is still under way on it."""
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None
        self._prepared.clear()

    async def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(*GONE):
                await self._connection.close(timeout=2.0)
        self._connection = None

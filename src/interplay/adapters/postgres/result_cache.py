"""Cached results of steps in PostgreSQL."""

from __future__ import annotations

from typing import Final

from interplay.adapters.postgres.connection import Database

_GET: Final = "select value from result_cache where project_id = $1 and digest = $2 and expires_at > now()"
_PUT: Final = """insert into result_cache(project_id, digest, value, expires_at)
values ($1, $2, $3, now() + make_interval(secs => $4))
on conflict (project_id, digest) do update set value = excluded.value, expires_at = excluded.expires_at"""


class PostgresResultCache:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: int, digest: str) -> bytes | None:
        async with self._database.session() as connection:
            value = await connection.fetchval(_GET, project_id, digest)
        return bytes(value) if value is not None else None

    async def put(self, project_id: int, digest: str, value: bytes, seconds: float) -> None:
        async with self._database.session() as connection:
            await connection.execute(_PUT, project_id, digest, value, seconds)

"""Concurrency keys in PostgreSQL: counted under an advisory lock of the key, freed with their worker."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg

from interplay.adapters.postgres.connection import Database

_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended($1::text || ':' || $2, 7))"
_TAKE: Final = """insert into slot(project_id, key, holder, worker_id)
select $1, $2, $3, $4 where (select count(*) from slot where project_id = $1 and key = $2 and holder <> $3) < $5
on conflict (project_id, key, holder) do update set worker_id = excluded.worker_id returning 1"""
_RELEASE: Final = "delete from slot where project_id = $1 and key = $2 and holder = $3"

_HELD: Final = "select project_id, key, holder from slot where worker_id = $1"


class PostgresSlots:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, project_id: int, key: str, concurrency: int, worker_id: UUID, holder: str) -> bool:
        async with self._database.session() as connection:
            try:
                async with connection.transaction():
                    await connection.execute(_LOCK, str(project_id), key)
                    return bool(await connection.fetchval(_TAKE, project_id, key, holder, worker_id, concurrency))
            except asyncpg.ForeignKeyViolationError:
                return False  # this worker was taken for dead: its runs are no longer its own

    async def release(self, project_id: int, key: str, holder: str) -> None:
        async with self._database.session() as connection:
            await connection.execute(_RELEASE, project_id, key, holder)

    async def held(self, worker_id: UUID) -> list[tuple[int, str, str]]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_HELD, worker_id)
        return [(row["project_id"], row["key"], row["holder"]) for row in rows]

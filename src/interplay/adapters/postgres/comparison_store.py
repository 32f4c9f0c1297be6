"""Answers of shadow calls in PostgreSQL: the newest of each alias."""

from __future__ import annotations

from typing import Final

import msgspec

from interplay.adapters.postgres.connection import Database
from interplay.core.models.comparison import Comparison

MOST: Final = 1_000  # of an alias
_KEEP: Final = "insert into comparison(project_id, alias, body) values ($1, $2, $3)"
_FORGET: Final = """delete from comparison where project_id = $1 and alias = $2 and comparison_id <= (
    select comparison_id from comparison where project_id = $1 and alias = $2
    order by comparison_id desc offset $3 limit 1)"""
_NEWEST: Final = """select body from comparison where project_id = $1 and alias = $2
order by comparison_id desc limit $3"""


class PostgresComparisonStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, project_id: int, comparison: Comparison) -> None:
        body = msgspec.json.encode(comparison)
        async with self._database.session() as connection, connection.transaction():
            await connection.execute(_KEEP, project_id, comparison.alias, body)
            await connection.execute(_FORGET, project_id, comparison.alias, MOST)

    async def newest(self, project_id: int, alias: str, limit: int) -> list[Comparison]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_NEWEST, project_id, alias, limit)
        return [msgspec.json.decode(row["body"], type=Comparison) for row in rows]

"""The price book in PostgreSQL. A trigger raises the configuration's version with each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import asyncpg

from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.tenancy_rows import PRICE_COLUMNS, json_of, moment, price_of
from interplay.core.errors import NotFound
from interplay.core.models.pricing import PricePoint

_PUT: Final = """insert into price(project_id, target, valid_from, body) values ($1, $2, $3, $4)
on conflict (project_id, target, valid_from) do update set body = excluded.body"""
_DELETE: Final = "delete from price where project_id = $1 and target = $2 and valid_from = $3 returning 1"
_PRICES: Final = f"select {PRICE_COLUMNS} from price where project_id = $1 order by target, valid_from"


class PostgresPriceStore:
    """`changed` is called after each commit."""

    def __init__(self, database: Database, changed: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._changed = changed

    async def put(self, point: PricePoint) -> None:
        async with self._database.session() as connection:
            try:
                await connection.execute(
                    _PUT, point.project_id, point.target, moment(point.valid_from), json_of(point.price)
                )
            except asyncpg.ForeignKeyViolationError:
                raise NotFound(f"There is no project {point.project_id}.", where="project") from None
        self._changed()

    async def delete(self, project_id: int, target: str, valid_from: float) -> None:
        async with self._database.session() as connection:
            if not await connection.fetchval(_DELETE, project_id, target, moment(valid_from)):
                raise NotFound(f"There is no price of {target!r} from then on.", where="price")
        self._changed()

    async def prices(self, project_id: int) -> list[PricePoint]:
        async with self._database.session() as connection:
            return [price_of(row) for row in await connection.fetch(_PRICES, project_id)]

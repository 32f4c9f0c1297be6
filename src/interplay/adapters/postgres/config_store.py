"""The configuration in PostgreSQL as a whole, in pages, and what changed since a version."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.tenancy_rows import (
    KEY_COLUMNS,
    PRICE_COLUMNS,
    PROJECT_COLUMNS,
    key_of,
    price_of,
    project_of,
)
from interplay.core.models.registry import Connection, Model
from interplay.ports.config_store import Change, Entry, Noun

KEPT: Final = 10_000  # changes
_VERSION: Final = "select version from config_version"
_CHANGES: Final = """select v.version as present, c.version, c.noun, c.project_id, c.name from config_version v
left join config_change c on c.version > $1 order by c.version"""
_FORGET: Final = "delete from config_change where version <= (select version from config_version) - $1"
_CONNECTION: Final = msgspec.json.Decoder(Connection)
_MODEL: Final = msgspec.json.Decoder(Model)


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a noun is read: its rows in the order of `order`, and how one becomes an entry."""

    noun: Noun
    columns: str
    table: str
    order: str
    first: tuple[Any, ...]
    name: str
    read: Callable[[Any], Any]
    where: str = "true"

    def page(self) -> str:
        marks = ", ".join(f"${number + 2}" for number in range(len(self.first)))
        return (
            f"select {self.columns} from {self.table} where {self.where} and ({self.order}) > ({marks}) "
            f"order by {self.order} limit $1"
        )

    def those(self) -> str:
        named = "key_id = any($2::text[]::uuid[])" if self.noun == "key" else f"{self.name}::text = any($2::text[])"
        return f"select {self.columns} from {self.table} where {self.where} and project_id = any($1) and {named}"

    def entry(self, row: Any) -> Entry:
        return Entry(self.noun, row["project_id"], str(row[self.name]), self.read(row))


_LONG_AGO: Final = datetime(1, 1, 2, tzinfo=UTC)
_BODY: Final = "project_id, name, body::text as body"
_SOURCES: Final = (
    _Source("project", PROJECT_COLUMNS, "project", "project_id", (-1,), "project_id", project_of),
    _Source("key", KEY_COLUMNS, "api_key", "key_id", (UUID(int=0),), "key_id", key_of, "deleted_at is null"),
    _Source(
        "connection", _BODY, "connection", "project_id, name", (-1, ""), "name", lambda r: _CONNECTION.decode(r["body"])
    ),
    _Source("model", _BODY, "model", "project_id, name", (-1, ""), "name", lambda r: _MODEL.decode(r["body"])),
    _Source("price", PRICE_COLUMNS, "price", "project_id, target, valid_from", (-1, "", _LONG_AGO), "target", price_of),
)
_BY_NOUN: Final = {source.noun: source for source in _SOURCES}


class PostgresConfigStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self) -> int:
        async with self._database.session() as connection:
            return int(await connection.fetchval(_VERSION))

    async def changes(self, after: int) -> tuple[int, list[Change]] | None:
        async with self._database.session() as connection:
            rows = await connection.fetch(_CHANGES, after)
        present = int(rows[0]["present"])
        found = [row for row in rows if row["version"] is not None]
        if len(found) != present - after:
            return None  # some are forgotten, or this is another database than it was
        return present, [Change(row["noun"], row["project_id"], row["name"]) for row in found]

    async def everything(self, page: int = 250) -> AsyncIterator[list[Entry]]:
        for source in _SOURCES:
            place: tuple[Any, ...] | None = source.first
            while place is not None:
                async with self._database.session() as connection:
                    rows = await connection.fetch(source.page(), page, *place)
                if rows:
                    yield [source.entry(row) for row in rows]
                columns = [column.strip() for column in source.order.split(",")]
                place = tuple(rows[-1][column] for column in columns) if len(rows) == page else None

    async def entries(self, changes: Sequence[Change]) -> list[Entry]:
        found: list[Entry] = []
        for noun, source in _BY_NOUN.items():
            wanted = {(change.project_id, change.name) for change in changes if change.noun == noun}
            if not wanted:
                continue
            projects, names = {project for project, _ in wanted}, {name for _, name in wanted}
            async with self._database.session() as connection:
                rows = await connection.fetch(source.those(), list(projects), list(names))
            entries = [source.entry(row) for row in rows]
            found += [entry for entry in entries if (entry.project_id, entry.name) in wanted]
        return found

    async def forget(self) -> None:
        """Changes so old that whoever missed them loads everything."""
        async with self._database.session() as connection:
            await connection.execute(_FORGET, KEPT)

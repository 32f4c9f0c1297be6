"""Connections and models in PostgreSQL, kept in memory and read again when told or after a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from interplay.adapters.postgres.connection import Database
from interplay.core.errors import Conflict, NotFound
from interplay.core.models.registry import Connection, Model, Registry

_FRESH: Final = 1.0  # seconds that what was read may be used
_LOAD: Final = """select 'connection' as noun, name, body::text as body from connection where project_id = $1
union all select 'model', name, body::text from model where project_id = $1"""
_PUT: Final = """insert into {noun}(project_id, name, body) values ($1, $2, $3)
on conflict (project_id, name) do update set body = excluded.body, updated_at = now()
where {noun}.body <> excluded.body returning 1"""
_DELETE: Final = "delete from {noun} where project_id = $1 and name = $2 returning 1"


class PostgresModelRegistry:
    """`changed` is called after each commit."""

    def __init__(self, database: Database, changed: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._changed = changed
        self._kept: dict[int, tuple[float, Registry]] = {}

    async def load(self, project_id: int) -> Registry:
        kept = self._kept.get(project_id)
        now = time.monotonic()
        if kept is not None and now - kept[0] < _FRESH:
            return kept[1]
        async with self._database.session() as connection:
            rows = await connection.fetch(_LOAD, project_id)
        registry = Registry(
            {row["name"]: _read(row, Connection) for row in rows if row["noun"] == "connection"},
            {row["name"]: _read(row, Model) for row in rows if row["noun"] == "model"},
        )
        self._kept[project_id] = (now, registry)
        return registry

    async def put_connection(self, project_id: int, connection: Connection) -> bool:
        return await self._put("connection", project_id, connection.name, connection)

    async def put_model(self, project_id: int, model: Model) -> bool:
        known = (await self._fresh(project_id)).connections
        for deployment in model.deployments:
            if deployment.connection not in known:
                raise NotFound.named("connection", deployment.connection, known)
        return await self._put("model", project_id, model.name, model)

    async def delete_connection(self, project_id: int, name: str) -> None:
        registry = await self._fresh(project_id)
        users = [m.name for m in registry.models.values() if any(d.connection == name for d in m.deployments)]
        if users:
            raise Conflict(
                f"The connection {name!r} is used by {', '.join(users)}.", advice="Change those models first."
            )
        await self._delete("connection", project_id, name, registry.connections)

    async def delete_model(self, project_id: int, name: str) -> None:
        await self._delete("model", project_id, name, (await self._fresh(project_id)).models)

    async def _fresh(self, project_id: int) -> Registry:
        self._kept.pop(project_id, None)
        return await self.load(project_id)

    async def _put(self, noun: str, project_id: int, name: str, value: Any) -> bool:
        body = msgspec.json.encode(value).decode()
        async with self._database.session() as connection:
            changed = await connection.fetchval(_PUT.format(noun=noun), project_id, name, body)
        self._kept.pop(project_id, None)
        if changed:
            self._changed()
        return bool(changed)

    async def _delete(self, noun: str, project_id: int, name: str, known: Any) -> None:
        async with self._database.session() as connection:
            if not await connection.fetchval(_DELETE.format(noun=noun), project_id, name):
                raise NotFound.named(noun, name, known)
        self._kept.pop(project_id, None)
        self._changed()


def _read(row: Any, kind: type[Any]) -> Any:
    return msgspec.json.decode(row["body"], type=kind)

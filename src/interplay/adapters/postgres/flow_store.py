"""Flows, versions and channels in PostgreSQL."""

from __future__ import annotations

import json
from typing import Any, Final

from interplay.adapters.postgres.connection import Database
from interplay.core.errors import Conflict, NotFound
from interplay.core.flows.canonical import versions_advice
from interplay.ports.flow_store import FlowSummary, FlowVersion

_PUT_FLOW: Final = """insert into flow(project_id, name, latest, about) values ($1, $2, $3, $4)
on conflict (project_id, name) do update set latest = excluded.latest, about = excluded.about, updated_at = now()"""
_PUT_VERSION: Final = """insert into flow_version(project_id, name, version, ir, source) values ($1, $2, $3, $4, $5)
on conflict do nothing returning 1"""
_COLUMNS: Final = "name, version, ir, source, extract(epoch from created_at)::float8 as created_at"
_BY_HASH: Final = f"""select {_COLUMNS} from flow_version where project_id = $1 and version = $2
  and ($3::text is null or name = $3) limit 1"""
_BY_PREFIX: Final = f"""select {_COLUMNS} from flow_version where project_id = $1 and name = $2
  and encode(version, 'hex') like $3 || '%' limit 2"""
_LOAD: Final = "select ir from flow_version where version = $1 limit 1"
_VERSIONS: Final = f"""select {_COLUMNS} from flow_version where project_id = $1 and name = $2
  and ($3::float8 is null or created_at < to_timestamp($3)) order by flow_version.created_at desc limit $4"""
_PAGE: Final = """select name, about, latest, extract(epoch from updated_at)::float8 as updated_at,
  (select json_object_agg(c.name, encode(c.version, 'hex')) from channel c
   where c.project_id = flow.project_id and c.flow_name = flow.name)::text as channels
from flow where project_id = $1 and ($2::text is null or name > $2) order by name limit $3"""
_NAMES: Final = "select name from flow where project_id = $1 order by name limit 1000"
_CHANNEL: Final = """select version from channel where project_id = $1 and flow_name = $2 and name = $3 for update"""
_SET_CHANNEL: Final = """insert into channel(project_id, flow_name, name, version) values ($1, $2, $3, $4)
on conflict (project_id, flow_name, name) do update set version = excluded.version, updated_at = now()"""
_CHANNELS: Final = "select name, version from channel where project_id = $1 and flow_name = $2 order by name"
_LATEST: Final = "select latest from flow where project_id = $1 and name = $2"
_DEFAULT_CHANNELS: Final = ("prod", "staging", "dev")
_SHORTEST: Final = 6  # characters of a version's beginning


class PostgresFlowStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self, project_id: int, name: str, version: str, ir: bytes, source: str, about: str | None = None
    ) -> bool:
        raw = bytes.fromhex(version)
        async with self._database.transaction() as connection:
            made = await connection.fetchval(_PUT_VERSION, project_id, name, raw, ir, source)
            await connection.execute(_PUT_FLOW, project_id, name, raw, about)
        return bool(made)

    async def get(self, project_id: int, version: str, name: str | None = None) -> FlowVersion:
        async with self._database.session() as connection:
            if len(version) == 64 and _is_hex(version):
                row = await connection.fetchrow(_BY_HASH, project_id, bytes.fromhex(version), name)
            elif name is not None and len(version) >= _SHORTEST and _is_hex(version):
                rows = await connection.fetch(_BY_PREFIX, project_id, name, version.lower())
                if len(rows) > 1:
                    raise Conflict(
                        f"More than one version of {name!r} begins with {version!r}.", advice="Write more of it."
                    )
                row = rows[0] if rows else None
            else:
                row = None
        if row is None:
            of = f" of {name!r}" if name else ""
            raise NotFound(f"There is no version {version!r}{of}.", where="version", advice=versions_advice(name))
        return _version(row)

    async def load(self, version: str) -> bytes:
        async with self._database.session() as connection:
            ir = await connection.fetchval(_LOAD, bytes.fromhex(version)) if _is_hex(version) else None
        if ir is None:
            raise NotFound(f"There is no flow version {version[:12]}.", where="version")
        return bytes(ir)

    async def versions(self, project_id: int, name: str, limit: int, before: float | None = None) -> list[FlowVersion]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_VERSIONS, project_id, name, before, limit)
            if not rows and before is None:
                raise await _no_flow(connection, project_id, name)
        return [_version(row) for row in rows]

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[FlowSummary]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_PAGE, project_id, after, limit)
        return [
            FlowSummary(
                row["name"],
                row["about"],
                row["latest"].hex(),
                json.loads(row["channels"]) if row["channels"] else {},
                row["updated_at"],
            )
            for row in rows
        ]

    async def set_channel(
        self, project_id: int, name: str, channel: str, version: str, expected: str | None = None
    ) -> str | None:
        full = (await self.get(project_id, version, name)).version
        async with self._database.transaction() as connection:
            before = await connection.fetchval(_CHANNEL, project_id, name, channel)
            now = before.hex() if before is not None else None
            if expected is not None and expected != (now or ""):
                raise Conflict(
                    f"The channel {channel!r} of {name!r} points at {(now or 'nothing')[:12]}, not at {expected[:12]}.",
                    where="If-Match",
                    advice="Somebody moved it meanwhile: look again, then decide.",
                )
            await connection.execute(_SET_CHANNEL, project_id, name, channel, bytes.fromhex(full))
        return now

    async def channels(self, project_id: int, name: str) -> dict[str, str]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_CHANNELS, project_id, name)
            if not rows and await connection.fetchval(_LATEST, project_id, name) is None:
                raise await _no_flow(connection, project_id, name)
        return {row["name"]: row["version"].hex() for row in rows}

    async def resolve(self, project_id: int, name: str, channel: str | None = None) -> str:
        async with self._database.session() as connection:
            rows = await connection.fetch(_CHANNELS, project_id, name)
            latest = await connection.fetchval(_LATEST, project_id, name)
            if latest is None:
                raise await _no_flow(connection, project_id, name)
        channels = {row["name"]: row["version"].hex() for row in rows}
        if channel is not None:
            if channel not in channels:
                raise NotFound.named(f"channel of {name!r}", channel, channels)
            return str(channels[channel])
        found = next((channels[known] for known in _DEFAULT_CHANNELS if known in channels), None)
        return str(found or latest.hex())


async def _no_flow(connection: Any, project_id: int, name: str) -> NotFound:
    rows = await connection.fetch(_NAMES, project_id)
    return NotFound.named("flow", name, [row["name"] for row in rows])


def _version(row: Any) -> FlowVersion:
    return FlowVersion(row["name"], row["version"].hex(), row["ir"], row["source"], row["created_at"])


def _is_hex(text: str) -> bool:
    return all(letter in "0123456789abcdefABCDEF" for letter in text)

"""Triggers in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from interplay.adapters.postgres.connection import Database
from interplay.core.errors import Conflict, NotFound
from interplay.core.triggers.trigger import Trigger
from interplay.core.webhooks.secrets import SigningSecret
from interplay.ports.topic_reader import StartAt
from interplay.ports.trigger_store import KeptTrigger, NewTrigger, Tally

_COLUMNS: Final = """trigger_id, project_id, name, body, paused, revision, generation, start, key_id, started, doubled,
  passed, dead, problem, secret::text as secret, extract(epoch from problem_at)::float8 as problem_at,
  extract(epoch from created_at)::float8 as created_at"""
_INSERT: Final = f"""insert into trigger_topic(trigger_id, project_id, name, body, paused, start, key_id, secret)
values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing returning {_COLUMNS}"""
_HELD: Final = f"select {_COLUMNS} from trigger_topic where project_id = $1 and name = $2 for update"
_CHANGE: Final = f"""update trigger_topic set body = $2, paused = $3, generation = $4, start = $5, key_id = $6,
  revision = revision + 1, problem = null, problem_at = null, secret = coalesce(secret, $7)
where trigger_id = $1 returning {_COLUMNS}"""
_ROTATE: Final = f"""update trigger_topic set secret = $3, revision = revision + 1
where trigger_id = $1 and secret = $2 returning {_COLUMNS}"""
_GET: Final = f"select {_COLUMNS} from trigger_topic where project_id = $1 and name = $2"
_PAGE: Final = f"""select {_COLUMNS} from trigger_topic
where project_id = $1 and ($3::text is null or name > $3) order by name limit $2"""
_NAMES: Final = "select name from trigger_topic where project_id = $1 order by name limit 1000"
_DELETE: Final = "delete from trigger_topic where project_id = $1 and name = $2 returning 1"
_ACTIVE: Final = f"""select {_COLUMNS} from trigger_topic
where not paused and not body ? 'webhook' order by trigger_id"""
_CALLED: Final = f"select {_COLUMNS} from trigger_topic where body ? 'webhook' order by trigger_id"
_NOTE: Final = """update trigger_topic set started = started + $2, doubled = doubled + $3, passed = passed + $4,
  dead = dead + $5, problem = $6,
  problem_at = case when $6::text is null then null when problem is null then clock_timestamp() else problem_at end
where trigger_id = $1"""
_DECODER: Final = msgspec.json.Decoder(Trigger)
_SECRET: Final = msgspec.json.Decoder(SigningSecret)
_START: Final = msgspec.json.Decoder(StartAt)


class PostgresTriggerStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, wanted: NewTrigger, expected: int | None = None) -> tuple[KeptTrigger, bool]:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_HELD, wanted.project_id, wanted.name)
            if row is None and expected is None:
                row = await self._made(connection, wanted)
                if row is not None:
                    return _kept(row), True
                row = await connection.fetchrow(_HELD, wanted.project_id, wanted.name)
            before = _kept(row) if row is not None else None
            if before is None or (expected is not None and expected != before.revision):
                raise _changed(wanted.name)
            paused = before.paused if wanted.paused is None else wanted.paused
            if (before.trigger, before.paused) == (wanted.trigger, paused):
                return before, False
            elsewhere = before.trigger.topic != wanted.trigger.topic
            generation = before.generation + elsewhere
            start = StartAt(wanted.trigger.start) if elsewhere else before.start
            secret = _json(wanted.secret) if wanted.secret is not None else None
            values = (_json(wanted.trigger), paused, generation, _json(start), wanted.key_id, secret)
            return _kept(await connection.fetchrow(_CHANGE, before.trigger_id, *values)), False

    async def _made(self, connection: Any, wanted: NewTrigger) -> Any:
        start = _json(StartAt(wanted.trigger.start))
        secret = _json(wanted.secret) if wanted.secret is not None else None
        values = (wanted.name, _json(wanted.trigger), bool(wanted.paused), start, wanted.key_id, secret)
        try:
            return await connection.fetchrow(_INSERT, wanted.trigger_id, wanted.project_id, *values)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no project {wanted.project_id}.", where="project") from None

    async def get(self, project_id: int, name: str) -> KeptTrigger:
        async with self._database.session() as connection:
            return _kept(await self._row(connection, _GET, project_id, name))

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[KeptTrigger]:
        async with self._database.session() as connection:
            return [_kept(row) for row in await connection.fetch(_PAGE, project_id, limit, after)]

    async def delete(self, project_id: int, name: str) -> None:
        async with self._database.session() as connection:
            if not await connection.fetchval(_DELETE, project_id, name):
                raise await self._missing(connection, project_id, name)

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptTrigger:
        async with self._database.transaction() as connection:
            before = _kept(await self._row(connection, _HELD, project_id, name))
            if before.paused == paused:
                return before
            values = (_json(before.trigger), paused, before.generation, _json(before.start), before.key_id, None)
            return _kept(await connection.fetchrow(_CHANGE, before.trigger_id, *values))

    async def replay(self, project_id: int, name: str, start: StartAt) -> KeptTrigger:
        async with self._database.transaction() as connection:
            before = _kept(await self._row(connection, _HELD, project_id, name))
            values = (_json(before.trigger), before.paused, before.generation + 1, _json(start), before.key_id, None)
            return _kept(await connection.fetchrow(_CHANGE, before.trigger_id, *values))

    async def rotate(self, project_id: int, name: str, was: SigningSecret, secret: SigningSecret) -> KeptTrigger:
        async with self._database.transaction() as connection:
            before = _kept(await self._row(connection, _HELD, project_id, name))
            row = await connection.fetchrow(_ROTATE, before.trigger_id, _json(was), _json(secret))
            if row is None:
                raise _changed(name)
            return _kept(row)

    async def active(self) -> Sequence[KeptTrigger]:
        async with self._database.session() as connection:
            return [_kept(row) for row in await connection.fetch(_ACTIVE)]

    async def called(self) -> Sequence[KeptTrigger]:
        async with self._database.session() as connection:
            return [_kept(row) for row in await connection.fetch(_CALLED)]

    async def note(self, trigger_id: UUID, more: Tally, problem: str | None) -> None:
        async with self._database.session() as connection:
            await connection.execute(_NOTE, trigger_id, more.started, more.doubled, more.passed, more.dead, problem)

    async def _row(self, connection: Any, statement: str, project_id: int, name: str) -> Any:
        row = await connection.fetchrow(statement, project_id, name)
        if row is None:
            raise await self._missing(connection, project_id, name)
        return row

    async def _missing(self, connection: Any, project_id: int, name: str) -> NotFound:
        names = [row["name"] for row in await connection.fetch(_NAMES, project_id)]
        return NotFound.named("trigger", name, names)


def _changed(name: str) -> Conflict:
    return Conflict(
        f"The trigger {name!r} is not as you saw it.", where="If-Match", advice="Read it again, and then change it."
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _kept(row: Any) -> KeptTrigger:
    return KeptTrigger(
        trigger_id=row["trigger_id"],
        project_id=row["project_id"],
        name=row["name"],
        trigger=_DECODER.decode(row["body"]),
        paused=row["paused"],
        revision=row["revision"],
        generation=row["generation"],
        start=_START.decode(row["start"]),
        created_at=row["created_at"],
        tally=Tally(row["started"], row["doubled"], row["passed"], row["dead"]),
        problem=row["problem"],
        problem_at=row["problem_at"],
        key_id=row["key_id"],
        secret=_SECRET.decode(row["secret"]) if row["secret"] is not None else None,
    )

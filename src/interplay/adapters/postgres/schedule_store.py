"""Schedules in PostgreSQL. A fire is one transaction: it holds the schedule, starts the run, moves `next_at` on."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from interplay.adapters.postgres import run_sql
from interplay.adapters.postgres import schedule_sql as sql
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.core.errors import Conflict, NotFound
from interplay.core.runs.events import EventKind, RunCancelled, encode_body
from interplay.core.schedules.deciding import changed_time, meeting, next_time
from interplay.core.schedules.schedule import Schedule
from interplay.ports.run_store import CreatedRun, NewRun
from interplay.ports.schedule_store import (
    MISSED,
    PAUSED,
    WAITS,
    Agenda,
    DueSchedule,
    Fired,
    FireRecord,
    Firing,
    NewSchedule,
    Outcome,
    ScheduleRecord,
    skipped_for,
)

_DECODER = msgspec.json.Decoder(Schedule)


class PostgresScheduleStore:
    """`runs`: whose way of making runs a fire takes."""

    def __init__(self, database: Database, runs: PostgresRunStore, failpoints: Failpoints = NO_FAILPOINTS) -> None:
        self._database = database
        self._runs = runs
        self._failpoints = failpoints

    async def put(self, wanted: NewSchedule, expected: int | None = None) -> tuple[ScheduleRecord, bool]:
        async with self._database.transaction() as connection:
            now = await connection.fetchval(sql.NOW)
            row = await connection.fetchrow(sql.HELD, wanted.project_id, wanted.name)
            if row is None and expected is None:
                row = await self._made(connection, wanted, now)
                if row is not None:
                    return _record(row), True
                row = await connection.fetchrow(sql.HELD, wanted.project_id, wanted.name)
            before = _record(row) if row is not None else None
            if before is None or (expected is not None and expected != before.revision):
                raise _changed_meanwhile(wanted.name)
            paused = before.paused if wanted.paused is None else wanted.paused
            if (wanted.schedule, paused) == (before.schedule, before.paused):
                return before, False
            again = next_time(wanted.schedule, now)
            if not (before.paused and not paused):
                again = changed_time(before.schedule, wanted.schedule, before.next_at, now)
            return await self._change(connection, before, wanted.schedule, paused, again, wanted.key_id), False

    async def _made(self, connection: Any, wanted: NewSchedule, now: float) -> Any:
        next_at = next_time(wanted.schedule, now)
        paused, body = bool(wanted.paused), _body(wanted.schedule)
        try:
            return await connection.fetchrow(
                sql.INSERT,
                wanted.schedule_id,
                wanted.project_id,
                wanted.name,
                body,
                paused,
                next_at,
                wanted.key_id,
            )
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no project {wanted.project_id}.", where="project") from None

    async def _change(
        self,
        connection: Any,
        before: ScheduleRecord,
        schedule: Schedule,
        paused: bool,
        next_at: float,
        key_id: UUID | None,
    ) -> ScheduleRecord:
        if paused:
            await connection.execute(sql.DROP_WAITING, before.schedule_id, PAUSED)
        arguments = (before.schedule_id, _body(schedule), paused, next_at, key_id)
        return _record(await connection.fetchrow(sql.CHANGE, *arguments))

    async def get(self, project_id: int, name: str) -> ScheduleRecord:
        async with self._database.session() as connection:
            return _record(await _row(connection, sql.GET, project_id, name))

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[ScheduleRecord]:
        async with self._database.session() as connection:
            return [_record(row) for row in await connection.fetch(sql.PAGE, project_id, limit, after)]

    async def delete(self, project_id: int, name: str) -> None:
        async with self._database.session() as connection:
            if not await connection.fetchval(sql.DELETE, project_id, name):
                raise await _missing(connection, project_id, name)

    async def pause(self, project_id: int, name: str, paused: bool) -> ScheduleRecord:
        async with self._database.transaction() as connection:
            before = _record(await _row(connection, sql.HELD, project_id, name))
            if before.paused == paused:
                return before
            next_at = before.next_at if paused else next_time(before.schedule, await connection.fetchval(sql.NOW))
            return await self._change(connection, before, before.schedule, paused, next_at, before.key_id)

    async def agenda(self, most: int) -> Agenda:
        async with self._database.session() as connection:
            rows = [*await connection.fetch(sql.FREE, most), *await connection.fetch(sql.DUE, most)]
            ahead = await connection.fetchrow(sql.AHEAD)
        due: dict[UUID, DueSchedule] = {}
        for row in rows:
            due.setdefault(row["schedule_id"], DueSchedule(_record(row), row["free"], row["now"]))
        return Agenda(list(due.values()), ahead["seconds"], ahead["waiting"])

    async def fire(self, firing: Firing) -> Fired | None:
        await self._failpoints.reach(Failpoint.FIRE_BEFORE)
        async with self._database.transaction() as connection:
            held = await self._hold(connection, firing)
            if held is None:
                return None
            await self._failpoints.reach(Failpoint.FIRE_HELD)
            fired = await self._fire(connection, firing, held["waiting"], held["now"])
            await self._failpoints.reach(Failpoint.FIRE_WRITTEN)
        await self._failpoints.reach(Failpoint.FIRE_AFTER)
        return fired

    async def _hold(self, connection: Any, firing: Firing) -> Any:
        record = firing.record
        if firing.due is not None:
            return await connection.fetchrow(sql.HOLD_DUE, record.schedule_id, record.revision, firing.due.was)
        return await connection.fetchrow(sql.HOLD_WAITING, record.schedule_id, record.revision, record.waiting_for)

    async def _fire(self, connection: Any, firing: Firing, waiting: bool, now: float) -> Fired | None:
        schedule_id, due, moment = firing.record.schedule_id, firing.due, firing.scheduled_for
        late = now - (moment if moment is not None else now)
        going = [row["run_id"] for row in await connection.fetch(sql.GOING, schedule_id)]
        does = meeting(firing.record.schedule.overlap, len(going), waiting)
        if moment is not None and (does == "later" or (due is None and does == "wait")):
            return None
        if due is not None:
            await connection.execute(sql.MOVE, schedule_id, due.next_at)
            if due.missed is not None:
                await self._write(connection, firing, due.missed, "missed", None, MISSED)
        else:
            await connection.execute(sql.WAIT, schedule_id, None)
        if moment is None:
            return Fired("missed", now - due.was if due is not None else 0.0)
        if firing.run is None:
            await self._write(connection, firing, moment, "failed", None, firing.failure)
            return Fired("failed", late)
        if does == "wait":
            await connection.execute(sql.WAIT, schedule_id, moment)
            await self._write(connection, firing, moment, "waits", None, WAITS)
            return Fired("waits", late)
        if does == "skip":
            await self._write(connection, firing, moment, "skipped", None, skipped_for(going[0]))
            return Fired("skipped", late)
        cancelled = [await self._cancel(connection, firing, run_id) for run_id in going] if does == "cancel" else []
        [made] = await self._runs.create_within(connection, [firing.run])
        await self._write(connection, firing, moment, "run", made.run_id, None)
        return Fired("run", late, made, tuple(cancelled))

    async def _cancel(self, connection: Any, firing: Firing, run_id: UUID) -> tuple[UUID, UUID | None]:
        reason = f"The schedule {firing.record.name!r} fired again."
        body = encode_body(RunCancelled(reason))
        kind = int(EventKind.RUN_CANCELLED)
        holder = await connection.fetchval(run_sql.CANCEL, firing.record.project_id, run_id, reason, kind, body)
        return run_id, holder

    async def _write(
        self, connection: Any, firing: Firing, moment: float, outcome: Outcome, run_id: UUID | None, detail: str | None
    ) -> None:
        await connection.execute(sql.WRITE, firing.record.schedule_id, moment, outcome, run_id, detail, False)

    async def fire_now(self, record: ScheduleRecord, run: NewRun) -> CreatedRun:
        async with self._database.transaction() as connection:
            if await connection.fetchval(sql.HOLD, record.schedule_id) is None:
                raise await _missing(connection, record.project_id, record.name)
            [made] = await self._runs.create_within(connection, [run])
            if made.created:
                moment = await connection.fetchval(sql.NOW)
                await connection.execute(sql.WRITE, record.schedule_id, moment, "run", made.run_id, None, True)
            return made

    async def fires(self, project_id: int, name: str, limit: int, before: float | None = None) -> list[FireRecord]:
        async with self._database.session() as connection:
            schedule_id = (await _row(connection, sql.GET, project_id, name))["schedule_id"]
            return [FireRecord(**row) for row in await connection.fetch(sql.FIRES, schedule_id, limit, before)]

    async def forget(self, days: int) -> int:
        async with self._database.session() as connection:
            return int(await connection.fetchval(sql.FORGET, days))

    async def now(self) -> float:
        async with self._database.session() as connection:
            return float(await connection.fetchval(sql.NOW))


async def _row(connection: Any, statement: str, project_id: int, name: str) -> Any:
    row = await connection.fetchrow(statement, project_id, name)
    if row is None:
        raise await _missing(connection, project_id, name)
    return row


async def _missing(connection: Any, project_id: int, name: str) -> NotFound:
    rows = await connection.fetch(sql.NAMES, project_id)
    return NotFound.named("schedule", name, [row["name"] for row in rows])


def _changed_meanwhile(name: str) -> Conflict:
    return Conflict(
        f"The schedule {name!r} is not as you saw it.",
        where="If-Match",
        advice="Somebody changed it meanwhile: look again, then decide.",
    )


def _body(schedule: Schedule) -> str:
    return msgspec.json.encode(schedule).decode()


def _record(row: Any) -> ScheduleRecord:
    return ScheduleRecord(
        row["schedule_id"],
        row["project_id"],
        row["name"],
        _DECODER.decode(row["body"]),
        row["paused"],
        row["revision"],
        row["next_at"],
        row["waiting_for"],
        row["key_id"],
        row["created_at"],
        row["changed_at"],
    )

"""The journal's shelves: one partition for each day, made ahead, dropped by retention, never stalling a commit.

A run's events all lie on one shelf, that of the day it was created (`run.shelf`). Before a shelf is
dropped, runs on it that have not ended are carried to today's shelf: their rows are copied and the run
is moved, in one transaction that holds the run, and only while no worker owns it. New partitions are
made apart and attached, old ones detached concurrently, always with a lock timeout: a reader of an old
shelf would otherwise stall every commit.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from interplay.adapters.postgres.connection import Database, translated
from interplay.adapters.postgres.run_sql import EPOCH_DAY

_TODAY: Final = f"select (extract(epoch from now()) / 86400)::int - {EPOCH_DAY}"
_SHELVES: Final = """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'journal'::regclass and not i.inhdetachpending order by 1"""
_PENDING: Final = """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'journal'::regclass and i.inhdetachpending"""
_UNENDED: Final = """select run_id from run where shelf = $1 and status in (0, 2, 6) limit 500"""
_OWNED: Final = "select exists (select 1 from run where shelf = $1 and status in (0, 1, 2, 6))"
_HOLD: Final = "select shelf from run where run_id = $1 and status in (0, 2, 6) and shelf = $2 for update skip locked"
_COPY: Final = """insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
select $2, run_id, seq, kind, step_key, attempt, fence, body, at from journal where shelf = $3 and run_id = $1"""
_MOVE: Final = "update run set shelf = $2 where run_id = $1"
_FORGET_RUNS: Final = """with d as (delete from run where ctid = any(array(
    select ctid from run where shelf = $1 and status in (3, 4, 5) limit 5000)) returning run_id),
s as (delete from snapshot using d where snapshot.run_id = d.run_id),
g as (delete from signal using d where signal.run_id = d.run_id),
b as (delete from blob_chunk using d where blob_chunk.run_id = d.run_id)
select count(*) from d"""
_FORGET_KEYS: Final = "delete from run_key where expires_at < now()"
_FORGET_CACHE: Final = "delete from result_cache where expires_at < now()"


class Maintenance:
    """Run by whoever does housekeeping; several at once do no harm."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure_shelves(self, ahead: int = 7) -> list[int]:
        """Makes the shelves from today to `ahead` days on; gives those that were missing."""
        made: list[int] = []
        async with self._database.session() as connection:
            today = await connection.fetchval(_TODAY)
            known = {row["relname"] for row in await connection.fetch(_SHELVES)}
            wanted = [shelf for shelf in range(today - 1, today + ahead + 1) if f"journal_{shelf}" not in known]
            made += [shelf for shelf in wanted if await self._make(connection, shelf)]
        return made

    async def _make(self, connection: Any, shelf: int) -> bool:
        name = f"journal_{shelf}"
        try:
            async with connection.transaction():
                await connection.execute("set local lock_timeout = '2s'")
                await connection.execute(f"create table if not exists {name} (like journal including all)")
                await connection.execute(
                    f"alter table journal attach partition {name} for values from ({shelf}) to ({shelf + 1})"
                )
        except (asyncpg.LockNotAvailableError, asyncpg.DuplicateTableError, asyncpg.WrongObjectTypeError):
            return False  # somebody else is making it, or a long statement is in the way: the next round
        except asyncpg.UniqueViolationError:
            return False
        return True

    async def retire(self, keep_days: int) -> list[int]:
        """Drops the shelves older than `keep_days`; gives those that are gone. A shelf with a run that a
        worker holds right now waits for the next round."""
        gone: list[int] = []
        async with self._database.session() as connection:
            await self._finish_pending(connection)
            today = await connection.fetchval(_TODAY)
            shelves = [int(row["relname"].removeprefix("journal_")) for row in await connection.fetch(_SHELVES)]
            for shelf in sorted(shelves):
                if shelf < today - keep_days and await self._empty(connection, shelf, today):
                    await self._drop(connection, shelf)
                    gone.append(shelf)
            await connection.execute(_FORGET_KEYS)
            await connection.execute(_FORGET_CACHE)
        return gone

    async def _empty(self, connection: Any, shelf: int, today: int) -> bool:
        """Carries what has not ended to today's shelf; False while a worker still holds a run of it."""
        while rows := await connection.fetch(_UNENDED, shelf):
            carried = 0
            for row in rows:
                async with connection.transaction():
                    if await connection.fetchval(_HOLD, row["run_id"], shelf) is None:
                        continue
                    await connection.execute(_COPY, row["run_id"], today, shelf)
                    await connection.execute(_MOVE, row["run_id"], today)
                    carried += 1
            if not carried:
                break
        return not await connection.fetchval(_OWNED, shelf)

    async def _drop(self, connection: Any, shelf: int) -> None:
        name = f"journal_{shelf}"
        while await connection.fetchval(_FORGET_RUNS, shelf):
            continue
        await connection.execute("set lock_timeout = '5s'")
        try:
            await connection.execute(f"alter table journal detach partition {name} concurrently")
            await connection.execute(f"drop table {name}")
        finally:
            await connection.execute("reset lock_timeout")

    async def _finish_pending(self, connection: Any) -> None:
        """A detach that was cut off in the middle is brought to its end."""
        for row in await connection.fetch(_PENDING):
            async with translated():
                await connection.execute(f"alter table journal detach partition {row['relname']} finalize")
                await connection.execute(f"drop table {row['relname']}")

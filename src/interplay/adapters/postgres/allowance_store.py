"""Allowances in PostgreSQL: a row for each meter and window, raised under its row lock and never past the cap.

The statement of a lease is the function `lease_allowances` of the migration: one round trip, its rows locked in the
order of their ids, so that two processes that want the same meters cannot lock each other out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from interplay.adapters.postgres.connection import Database
from interplay.ports.allowance_store import GiveBack, Grant, Want

ALIVE: Final = timedelta(seconds=15)  # how long a process is believed alive unheard
_LEASE: Final = "select * from lease_allowances($1, $2, $3, $4, $5, $6)"
_RETURNED: Final = """with returned as (
    select * from unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[]) as r(meter_id, kind, began, amount)),
live as (select meter_id, kind, to_timestamp(began) as starts, amount from returned
    where kind in ('held', 'total') or to_timestamp(began) = date_trunc(kind, clock_timestamp(), 'UTC'))"""
_GIVE_BACK: Final = f"""{_RETURNED},
held as (insert into allowance_hold as h(meter_id, starts, process_id, amount, cap)
    select meter_id, starts, $1, greatest(0, -amount), 0 from live
    where kind = 'held' or meter_id like 'usd:%' order by meter_id
    on conflict (meter_id, starts, process_id) do update set amount = greatest(0, h.amount - (
        select l.amount from live l where l.meter_id = h.meter_id and l.starts = h.starts)))
insert into allowance as a(meter_id, starts, cap, used, granted)
    select meter_id, starts, 0, greatest(0, -amount), 0 from live where kind <> 'held' order by meter_id
    on conflict (meter_id, starts) do update set used = greatest(0, a.used - (
        select l.amount from live l where l.meter_id = a.meter_id and l.starts = a.starts))"""
_RETIRE: Final = """with gone as (delete from allowance_process where process_id = $1)
delete from allowance_hold where process_id = $1"""
_USED: Final = """select meter_id, max(used) as used from allowance where meter_id = any($1)
and starts in ('epoch', date_trunc('minute', clock_timestamp(), 'UTC'), date_trunc('day', clock_timestamp(), 'UTC'),
    date_trunc('month', clock_timestamp(), 'UTC')) group by 1
union all select h.meter_id, sum(h.amount) from allowance_hold h join allowance_process p using (process_id)
where h.meter_id = any($1) and h.meter_id not like 'usd:%' and p.expires_at > clock_timestamp() group by 1"""
_LOST: Final = """select h.meter_id, h.starts, h.process_id, h.amount, h.cap from allowance_hold h
left join allowance_process p using (process_id)
where h.meter_id like 'usd:%' and coalesce(p.heard_at, 'epoch') < clock_timestamp() - $1::interval
order by h.meter_id, h.starts for update of h skip locked limit 1000"""
_SPENT: Final = """select coalesce(sum(ceil(usd * 1e6)), 0)::bigint from usage_record where process_id = $1 and at >= $2
and case $3 when 'key' then key_id::text = $4 when 'project' then project_id::text = $4 else true end"""
_UNSPENT: Final = """with gone as (delete from allowance_hold where meter_id = $1 and starts = $2 and process_id = $3)
update allowance set used = greatest(0, used - $4) where meter_id = $1 and starts = $2"""
_FORGET: Final = """with long_over as (delete from allowance where starts > 'epoch' and starts < case
    when meter_id like 'usd:%' then clock_timestamp() - interval '70 days'
    else clock_timestamp() - interval '10 minutes' end),
unheard as (delete from allowance_process p where expires_at < clock_timestamp() - interval '1 day'
    and not exists (select 1 from allowance_hold h where h.process_id = p.process_id))
delete from allowance_hold h using allowance_process p where p.process_id = h.process_id
    and h.meter_id not like 'usd:%' and p.expires_at < clock_timestamp() - interval '1 hour'"""


class PostgresAllowanceStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def lease(self, process_id: UUID, wants: Sequence[Want]) -> list[Grant]:
        columns = (
            [want.meter_id for want in wants],
            [want.cap for want in wants],
            [want.window for want in wants],
            [want.amount for want in wants],
        )
        async with self._database.session() as connection:
            rows = await connection.fetch(_LEASE, process_id, ALIVE, *columns)
        return [
            Grant(r["meter_id"], r["amount"], r["seconds"], r["processes"], r["starts"], r["remaining"]) for r in rows
        ]

    async def give_back(self, process_id: UUID, returned: Sequence[GiveBack]) -> None:
        columns = (
            [back.meter_id for back in returned],
            [back.window for back in returned],
            [back.starts for back in returned],
            [back.amount for back in returned],
        )
        async with self._database.session() as connection:
            await connection.execute(_GIVE_BACK, process_id, *columns)

    async def retire(self, process_id: UUID) -> None:
        async with self._database.session() as connection:
            await connection.execute(_RETIRE, process_id)

    async def reconcile(self, quiet: float) -> int:
        async with self._database.transaction() as connection:
            lost = await connection.fetch(_LOST, timedelta(seconds=quiet))
            for row in lost:
                await self._settle(connection, row)
        async with self._database.session() as connection:
            await connection.execute(_FORGET)
        return len(lost)

    async def _settle(self, connection: Any, row: Any) -> None:
        """A slice at most: what a killed process had spent without having written it down stays counted."""
        _, kind, name, _ = row["meter_id"].split(":")
        spent = await connection.fetchval(_SPENT, row["process_id"], row["starts"], kind, name)
        unspent = max(0, min(max(1, row["cap"] // 20), row["amount"] - spent))
        await connection.execute(_UNSPENT, row["meter_id"], row["starts"], row["process_id"], unspent)

    async def used(self, meter_ids: Sequence[str]) -> dict[str, int]:
        async with self._database.session() as connection:
            rows = await connection.fetch(_USED, list(meter_ids))
        return {**dict.fromkeys(meter_ids, 0), **{row["meter_id"]: int(row["used"]) for row in rows}}

"""Who held which run, from when to when: a history that the database of a test keeps beside the product's own tables.

The product knows only who holds a run now. The history says who held it before, so that the checker can ask of every
event whether the worker that wrote it held the run at that moment (I6), and of every call of a provider whether
anybody did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

# After the statement: what it inserted itself is older than the end that it makes.
_KEEP: Final = """
create table hold(run_id uuid not null, fence bigint not null, worker_id uuid not null,
  began timestamptz not null, ended timestamptz);
create index hold_run on hold(run_id, fence);
create function keep_hold() returns trigger language plpgsql as $$
begin
  if old.status = 1 then
    update hold set ended = clock_timestamp() where run_id = old.run_id and fence = old.fence and ended is null;
  end if;
  if new.status = 1 then
    insert into hold values (new.run_id, new.fence, new.worker_id, clock_timestamp(), null);
  end if;
  return null;
end $$;
create trigger keep_hold after update on run for each row
  when ((old.status = 1 or new.status = 1) and (old.status, old.fence, old.worker_id)
    is distinct from (new.status, new.fence, new.worker_id)) execute function keep_hold();
"""

QUERIES: Final = {
    "I6 a fence was given twice": """select count(*) from (select 1 from hold group by run_id, fence
        having count(*) > 1) x""",
    "I6 two workers held a run at once": """select count(*) from (select began <
        max(coalesce(ended, 'infinity')) over (partition by run_id order by fence
          groups between unbounded preceding and 1 preceding) b from hold) x where b""",
    "I6 an event was written by somebody who did not hold the run": """select count(*) from journal j
        where (j.step_key is not null or j.fence > 0) and case
          when exists (select 1 from hold h where h.run_id = j.run_id and h.fence = j.fence) then not exists
            (select 1 from hold h where h.run_id = j.run_id and h.fence = j.fence
              and j.at between h.began and coalesce(h.ended, 'infinity'))
          else j.step_key is not null and j.fence > 0 end""",
}
_HOLDS: Final = """select run_id, extract(epoch from began)::float8 as began, extract(epoch from ended)::float8 as ended
from hold where run_id = any($1::uuid[])"""


@dataclass(frozen=True, slots=True)
class Call:
    """What a provider was asked for a step: `key` of the step with its run, times in seconds since the epoch."""

    run_id: UUID
    key: str
    began: float
    ended: float | None


async def keep_history(url: str) -> None:
    """From now on; to be called before the first run."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_KEEP)
    finally:
        await connection.close()


def calls_of(ledger: Sequence[dict[str, Any]]) -> list[Call]:
    """The calls that name their step."""
    found = []
    for entry in ledger:
        run, colon, _ = (entry["key"] or "").partition(":")
        if colon:
            found.append(Call(UUID(run), entry["key"], entry["began"], entry.get("over")))
    return found


async def calls_without_owner(url: str, calls: Sequence[Call], bound: float) -> list[Call]:
    """I6: calls that began when nobody held their run, nor had within `bound` seconds before."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_HOLDS, list({call.run_id for call in calls}))
    finally:
        await connection.close()
    holds: dict[UUID, list[tuple[float, float | None]]] = {}
    for row in rows:
        holds.setdefault(row["run_id"], []).append((row["began"], row["ended"]))
    return [
        call
        for call in calls
        if not any(
            began - 0.1 <= call.began and (ended is None or call.began <= ended + bound)
            for began, ended in holds.get(call.run_id, [])
        )
    ]


def calls_at_once(calls: Sequence[Call], bound: float) -> list[tuple[Call, Call]]:
    """I6: two calls for one step, both under way for longer than `bound` seconds."""
    by_key: dict[str, list[Call]] = {}
    for call in sorted(calls, key=lambda call: call.began):
        by_key.setdefault(call.key, []).append(call)
    return [
        (earlier, later)
        for of_key in by_key.values()
        for place, later in enumerate(of_key)
        for earlier in of_key[:place]
        if min(_end(earlier), _end(later)) - later.began > bound
    ]


def _end(call: Call) -> float:
    return call.ended if call.ended is not None else call.began  # the caller went away: nobody knows when


async def calls_after_cancel(url: str, calls: Sequence[Call], bound: float) -> list[Call]:
    """I9: calls that began more than `bound` seconds after somebody cancelled their run."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select run_id, extract(epoch from cancel_at)::float8 as at from run where cancel_at is not null"
        )
    finally:
        await connection.close()
    cancelled = {row["run_id"]: row["at"] for row in rows}
    return [call for call in calls if call.began > cancelled.get(call.run_id, float("inf")) + bound]

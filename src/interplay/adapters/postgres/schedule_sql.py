"""The statements of `schedule_store.py`, a name each."""

from __future__ import annotations

from typing import Final

_COLUMNS: Final = """s.schedule_id, s.project_id, s.name, s.body::text as body, s.paused, s.revision, s.key_id,
  extract(epoch from s.next_at)::float8 as next_at, extract(epoch from s.waiting_for)::float8 as waiting_for,
  extract(epoch from s.created_at)::float8 as created_at, extract(epoch from s.changed_at)::float8 as changed_at"""

NOW: Final = "select extract(epoch from clock_timestamp())::float8"

# Who holds a schedule and is frozen, or cut off without a word, loses it after so long: the transaction is rolled back.
_BOUNDED: Final = "set_config('idle_in_transaction_session_timeout', '5000', true)"

# One that is changed is held first, so that its fires and the change come one after the other.
HELD: Final = f"select {_COLUMNS}, {_BOUNDED} from schedule s where project_id = $1 and name = $2 for update"
GET: Final = f"select {_COLUMNS} from schedule s where project_id = $1 and name = $2"
NAMES: Final = "select name from schedule where project_id = $1 order by name limit 1000"
PAGE: Final = f"""select {_COLUMNS} from schedule s where project_id = $1 and ($3::text is null or name > $3)
order by name limit $2"""
INSERT: Final = f"""insert into schedule as s(schedule_id, project_id, name, body, paused, next_at, key_id)
values ($1, $2, $3, $4::jsonb, $5, to_timestamp($6::float8), $7) on conflict (project_id, name) do nothing
returning {_COLUMNS}"""
CHANGE: Final = f"""update schedule s set body = $2::jsonb, paused = $3, next_at = to_timestamp($4::float8), key_id = $5,
  waiting_for = case when $3 then null else waiting_for end, revision = revision + 1, changed_at = clock_timestamp()
where schedule_id = $1 returning {_COLUMNS}"""
DELETE: Final = "delete from schedule where project_id = $1 and name = $2 returning 1"
DROP_WAITING: Final = """update schedule_fire set outcome = 'skipped', detail = $2
where schedule_id = $1 and outcome = 'waits'"""

# Some fire of it has a run that has not ended. A run that is gone has.
_GOING: Final = """exists (select 1 from schedule_fire f join run r on r.run_id = f.run_id
    where f.schedule_id = s.schedule_id and f.going and r.status in (0, 1, 2))"""
DUE: Final = f"""select {_COLUMNS}, false as free, extract(epoch from clock_timestamp())::float8 as now
from schedule s where not paused and next_at <= clock_timestamp() order by s.next_at limit $1"""
FREE: Final = f"""select {_COLUMNS}, true as free, extract(epoch from clock_timestamp())::float8 as now
from schedule s where waiting_for is not null and not paused and not {_GOING} limit $1"""
AHEAD: Final = """select extract(epoch from min(next_at) - clock_timestamp())::float8 as seconds,
  exists (select 1 from schedule where waiting_for is not null and not paused) as waiting
from schedule where not paused and next_at > clock_timestamp() and next_at < 'infinity'"""

# Exactly one transaction gets past each of these for one fire: the next finds `next_at` (or `waiting_for`) moved on.
HOLD_DUE: Final = f"""select (waiting_for is not null) as waiting, extract(epoch from clock_timestamp())::float8 as now,
  {_BOUNDED} from schedule where schedule_id = $1 and revision = $2 and next_at = to_timestamp($3::float8) and not paused
  and next_at <= clock_timestamp() for update skip locked"""
HOLD_WAITING: Final = f"""select false as waiting, extract(epoch from clock_timestamp())::float8 as now,
  {_BOUNDED} from schedule where schedule_id = $1 and revision = $2 and waiting_for = to_timestamp($3::float8) and not paused
  for update skip locked"""
HOLD: Final = f"select 1, {_BOUNDED} from schedule where schedule_id = $1 for update"

# What has ended since somebody looked last goes out of the way here.
GOING: Final = """with f as materialized (select f.scheduled_for, f.run_id, r.status in (0, 1, 2) as going
    from schedule_fire f left join run r on r.run_id = f.run_id where f.schedule_id = $1 and f.going),
over as (update schedule_fire s set going = false from f
  where s.schedule_id = $1 and s.scheduled_for = f.scheduled_for and f.going is not true)
select run_id from f where going"""
MOVE: Final = "update schedule set next_at = to_timestamp($2::float8) where schedule_id = $1"
WAIT: Final = "update schedule set waiting_for = to_timestamp($2::float8) where schedule_id = $1"

# A fire that waited is written down already, without a run; one that has a run keeps it.
WRITE: Final = """insert into schedule_fire(schedule_id, scheduled_for, outcome, run_id, detail, manual, going)
values ($1, to_timestamp($2::float8), $3, $4, $5, $6, $4::uuid is not null)
on conflict (schedule_id, scheduled_for) do update
  set outcome = excluded.outcome, run_id = excluded.run_id, detail = excluded.detail, going = excluded.going,
    at = excluded.at where schedule_fire.run_id is null"""
FIRES: Final = """select extract(epoch from scheduled_for)::float8 as scheduled_for, extract(epoch from at)::float8 as at,
  outcome, run_id, manual, detail from schedule_fire
where schedule_id = $1 and ($3::float8 is null or scheduled_for < to_timestamp($3)) order by schedule_fire.scheduled_for desc limit $2"""
FORGET: Final = """with d as (delete from schedule_fire where at < clock_timestamp() - make_interval(days => $1) and not going
  and outcome <> 'waits' returning 1) select count(*) from d"""

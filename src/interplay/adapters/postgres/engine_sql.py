"""The statements of the engine, a name each. What must hold about them is in docs/adr/0002."""

from __future__ import annotations

from typing import Final

# Holds the worker's own row against the reaper while the statement runs. FOR KEY SHARE does not collide
# with the renewal, which updates no key.
_ME: Final = """me as materialized (select worker_id from worker
  where worker_id = $1 and lease_until > clock_timestamp() for key share)"""

REGISTER: Final = """insert into worker(worker_id, pool, capacity, lease_until)
values ($1, $2, $3, clock_timestamp() + make_interval(secs => $4)) on conflict (worker_id) do nothing"""

RENEW: Final = """with r as (update worker set lease_until = clock_timestamp() + make_interval(secs => $2)
  where worker_id = $1 and lease_until > clock_timestamp() returning 1)
select (select count(*) from r)::int as alive,
  array(select run_id from run where worker_id = $1 and status = 1 and cancel_at is not null) as cancelled,
  array(select run_id from run where worker_id = $1 and status = 1 and sig > 0 order by run_id) as signalled,
  array(select sig from run where worker_id = $1 and status = 1 and sig > 0 order by run_id) as sigs"""


_CLAIMED: Final = """r.run_id, r.project_id, r.fence, r.shelf, r.seq, r.sig, r.flow_version, r.input,
  extract(epoch from r.created_at)::float8 as created_at, extract(epoch from r.deadline_at)::float8 as deadline_at,
  r.cancel_at is not null as cancel_requested, r.takeovers, r.forked_from, r.vt, r.priority, r.key_id, r.flow_name,
  nullif(r.pub_seq, -1) as published"""


def claim(limit: int) -> str:
    """The limit is a literal: with a parameter a generic plan sorts all that is queued."""
    return f"""with {_ME},
c as (select run_id from run, me where status = 0 and queue = $2 and ready_at <= now() and vt >= $3::bigint
  order by priority desc, vt limit {limit} for update of run skip locked)
update run r set status = 1, worker_id = $1, fence = r.fence + 1 from c where r.run_id = c.run_id
returning {_CLAIMED}"""


TURNS: Final = 64  # projects that one statement looks at


def take_turns(limit: int, each: int) -> str:
    """A claim in which every project has its turn: the first run of each, then the second of each, and so on.

    It looks at the projects after `$3`, and reads the first `each` of what each of them has queued.
    """
    return f"""with recursive {_ME},
t(project_id, n) as (
  (select project_id, 1 from run where status = 0 and queue = $2 and project_id > $3 order by project_id limit 1)
  union all
  select (select r.project_id from run r where r.status = 0 and r.queue = $2 and r.project_id > t.project_id
    order by r.project_id limit 1), t.n + 1 from t where t.project_id is not null and t.n < {TURNS}),
p as materialized (select project_id from t where project_id is not null),
f as materialized (select f.*, row_number() over (partition by p.project_id order by f.priority desc, f.vt) as turn
  from p cross join lateral (select run_id, priority, vt from run
    where status = 0 and queue = $2 and project_id = p.project_id and ready_at <= now()
    order by priority desc, vt limit {each}) f order by turn, f.priority desc, f.vt limit {limit}),
c as (select run_id from run, me where run_id in (select f.run_id from f) and status + 0 = 0 for update of run skip locked)
update run r set status = 1, worker_id = $1, fence = r.fence + 1 from c where r.run_id = c.run_id
returning {_CLAIMED}, (select count(*) from p)::int as projects, (select max(project_id) from p) as last_project"""


ORPHANS: Final = """select run_id, fence from run
where worker_id = $1 and status = 1 and not (run_id = any($2::uuid[]))"""

# The fence rises, so that a claim that nobody heard of can end nothing, whoever believes in it. Only from the fence
# that was seen: this statement may come late, after a claim that was heard of.
ADOPT: Final = f"""with {_ME}
update run r set fence = r.fence + 1,
  seq = coalesce((select max(j.seq) from journal j where j.shelf = r.shelf and j.run_id = r.run_id), r.seq)
from me, unnest($2::uuid[], $3::bigint[]) t(run_id, fence)
where r.run_id = t.run_id and r.fence = t.fence and r.worker_id = $1 and r.status = 1
returning {_CLAIMED}"""


def commit(*, changes: bool, waits: bool, waits_over: bool, resend: bool) -> str:
    """One statement for everything that finished; its parts only where the batch needs them.

    `coalesce` and `status + 0` hide the conditions from the planner, which would otherwise take
    `run_worker` and join quadratically. A first send does without ON CONFLICT, which costs 10 %.
    """
    again = " on conflict do nothing" if resend else ""
    parts = [
        _ME,
        f"""j as (insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
  select t.sh, t.r, t.q, t.k, t.s, t.a, t.f, t.b, clock_timestamp() from me,
    unnest($2::int[], $3::uuid[], $4::int[], $5::smallint[], $6::text[], $7::smallint[], $8::bigint[], $9::bytea[])
      t(sh, r, q, k, s, a, f, b){again})""",
    ]
    number = 9
    if changes:
        parts.append(
            """u as (update run r set status = t.st, seq = t.q,
    worker_id = case when t.st = 1 then r.worker_id end,
    finished_at = case when t.st > 2 then clock_timestamp() end,
    ready_at = case t.st when 2 then coalesce(to_timestamp(t.due), 'infinity') when 0 then now() else r.ready_at end,
    queue = coalesce(t.qu, r.queue), output = t.o, error = t.e
  from me, unnest($10::uuid[], $11::bigint[], $12::smallint[], $13::int[], $14::int[], $15::float8[], $16::text[],
    $17::bytea[], $18::bytea[]) t(r, f, st, q, sig, due, qu, o, e)
  where r.run_id = t.r and r.fence = t.f and coalesce(r.worker_id = $1, false) and r.status + 0 = 1
    and (t.st <> 2 or (r.sig = t.sig and r.cancel_at is null)) returning r.run_id, r.status)"""
        )
        parts.append("g as (delete from wait using u where wait.run_id = u.run_id and u.status > 2)")
        number = 18
    if waits:
        n = number
        parts.append(
            f"""w as (insert into wait(run_id, step_key, project_id, flow_name, what, name, due_at, body)
  select t.r, t.s, r.project_id, r.flow_name, t.w, t.n, to_timestamp(t.d), t.b from me,
    unnest(${n + 1}::uuid[], ${n + 2}::text[], ${n + 3}::text[], ${n + 4}::text[], ${n + 5}::float8[], ${n + 6}::bytea[])
      t(r, s, w, n, d, b) join run r on r.run_id = t.r and coalesce(r.worker_id = $1, false)
  on conflict (run_id, step_key) do update
    set what = excluded.what, name = excluded.name, due_at = excluded.due_at, body = excluded.body)"""
        )
        number += 6
    if waits_over:
        parts.append(
            f"""o as (delete from wait using me, unnest(${number + 1}::uuid[], ${number + 2}::text[]) t(r, s)
  where wait.run_id = t.r and wait.step_key = t.s)"""
        )
    changed = "(select array_agg(run_id) from u)" if changes else "null::uuid[]"
    return "with " + ",\n".join(parts) + f"\nselect (select count(*) from me)::int as alive, {changed} as changed"


STANDING: Final = """select run_id, status, worker_id, fence, sig, cancel_at is not null as cancel_requested
from run where run_id = any($1::uuid[])"""

EVENTS: Final = """select j.run_id, j.seq, j.kind, j.step_key, j.attempt, j.fence, j.body,
  extract(epoch from j.at)::float8 as at
from unnest($1::uuid[], $2::int[]) t(r, sh) join journal j on j.shelf = t.sh and j.run_id = t.r
left join snapshot s on s.run_id = t.r where j.seq > coalesce(s.seq, 0) order by j.run_id, j.seq"""

SNAPSHOTS: Final = "select run_id, seq, body from snapshot where run_id = any($1::uuid[])"

PUT_SNAPSHOT: Final = f"""with {_ME}
insert into snapshot(run_id, seq, body) select $2, $3, $4 from me
where exists (select 1 from run where run_id = $2 and fence = $5 and worker_id = $1 and status = 1)
on conflict (run_id) do update set seq = excluded.seq, body = excluded.body, at = now()
where snapshot.seq < excluded.seq"""

SIGNALS: Final = """select run_id, signal_id, name, body, extract(epoch from at)::float8 as at
from signal where run_id = any($1::uuid[]) order by at, signal_id"""

# The two statements of a reap, in one transaction. SKIP LOCKED, because a worker frozen inside a
# transaction must not stop the others; the second statement's own snapshot sees what a claim took
# while the delete waited.
REAP_LOCK: Final = "select pg_try_advisory_xact_lock(481516)"
REAP_WORKERS: Final = """delete from worker where worker_id in (select worker_id from worker
  where lease_until < clock_timestamp() and clock_timestamp() > pg_postmaster_start_time() + make_interval(secs => $1)
  order by 1 for update skip locked) returning worker_id"""
REAP_RUNS: Final = """update run set status = case when takeovers >= $2 then 6 else 0 end, worker_id = null,
  fence = fence + 1, takeovers = takeovers + 1, ready_at = now(),
  seq = coalesce((select max(j.seq) from journal j where j.shelf = run.shelf and j.run_id = run.run_id), seq)
where worker_id = any($1::uuid[]) and status = 1 returning run_id, status, shelf, seq, fence, takeovers"""
DIED: Final = """with u as (update run set seq = seq + 1, error = $2, finished_at = clock_timestamp()
  where run_id = $1 returning run_id, shelf, seq, fence)
insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
select shelf, run_id, seq, $3::smallint, null, 0, fence, $4, clock_timestamp() from u"""

RETIRE_WORKER: Final = "delete from worker where worker_id = $1 returning 1"
RETIRE_RUNS: Final = """update run set status = 0, worker_id = null, fence = fence + 1, ready_at = now(),
  seq = coalesce((select max(j.seq) from journal j where j.shelf = run.shelf and j.run_id = run.run_id), seq)
where worker_id = $1 and status = 1 returning run_id"""

WAKE_DUE: Final = """update run set status = 0, ready_at = now() where run_id in (select run_id from run
  where status = 2 and ready_at <= clock_timestamp() order by ready_at limit 1000 for update skip locked)
returning run_id"""

# A run that nobody holds ends here and now, as a cancel ends it: one event, the last, under a fence of its own.
END_OVERDUE: Final = """with o as materialized (select run_id from run
  where status = 0 and deadline_at <= clock_timestamp() limit 500 for update skip locked),
u as (update run r set status = 4, fence = fence + 1, seq = seq + 1, error = $1, finished_at = clock_timestamp()
  from o where r.run_id = o.run_id returning r.run_id, r.shelf, r.seq, r.fence),
j as (insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
  select shelf, run_id, seq, $2::smallint, null, 0, fence, $3, clock_timestamp() from u),
w as (delete from wait using u where wait.run_id = u.run_id)
select run_id from u"""

"""The statements of `run_store.py`, a name each."""

from __future__ import annotations

from typing import Final

EPOCH_DAY: Final = 18262  # 2020-01-01 in days since 1970: shelf 0

_RUN: Final = """run_id, project_id, flow_name, flow_version, status, queue, priority, seq, takeovers, shelf,
  extract(epoch from created_at)::float8 as created_at, extract(epoch from deadline_at)::float8 as deadline_at,
  extract(epoch from finished_at)::float8 as finished_at, cancel_at is not null as cancel_requested,
  worker_id, batch_id, forked_from, labels, key_id"""

# The keys first: of two callers with the same key one makes the run, the other finds it. In their order: two callers
# with the same ones would wait for one another otherwise.
CREATE: Final = """with t as materialized (select * from unnest($1::uuid[], $2::int[], $3::text[], $4::bytea[], $5::bytea[],
    $6::text[], $7::smallint[], $8::float8[], $9::text[], $10::text[], $11::uuid[], $12::uuid[], $13::text[], $14::int[], $15::uuid[])
    with ordinality t(run_id, project_id, flow_name, flow_version, input, queue, priority, deadline, key, digest, batch_id,
      forked_from, labels, seq, key_id, n)),
k as (insert into run_key(project_id, key, run_id, digest, expires_at)
  select project_id, key, run_id, digest, now() + interval '7 days' from t where key is not null order by project_id, key
  on conflict do nothing returning project_id, key, run_id)
insert into run(run_id, project_id, flow_name, flow_version, queue, status, priority, vt, ready_at, deadline_at, shelf,
    input, batch_id, forked_from, labels, seq, key_id, pub_seq)
select t.run_id, t.project_id, t.flow_name, t.flow_version, t.queue, 0, t.priority,
  (extract(epoch from clock_timestamp()) * 1e6)::bigint + t.n, now(), now() + make_interval(secs => t.deadline),
  (extract(epoch from now()) / 86400)::int - $16, t.input, t.batch_id, t.forked_from, t.labels::jsonb, t.seq,
  t.key_id,
  case when $17 or exists (select 1 from webhook w where w.project_id = t.project_id) then 0 else -1 end
from t left join k on k.run_id = t.run_id where t.key is null or k.run_id is not null
returning run_id, shelf, extract(epoch from created_at)::float8 as created_at,
  extract(epoch from deadline_at)::float8 as deadline_at"""

KEYED: Final = "select key, run_id, digest from run_key where project_id = $1 and key = any($2::text[])"

KEEP_KEY: Final = """insert into run_key(project_id, key, run_id, digest, expires_at)
values ($1, $2, $3, $4, now() + interval '7 days') on conflict do nothing"""

JOURNAL: Final = """insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
select $1, $2, t.q, t.k, t.s, t.a, 0, t.b, clock_timestamp()
from unnest($3::int[], $4::smallint[], $5::text[], $6::smallint[], $7::bytea[]) t(q, k, s, a, b)"""

# A run owns what its journal names, or the retention of another run would take it away.
COPY_BLOBS: Final = """with c as (insert into blob_chunk(blob_id, n, run_id, data)
  select t.new, c.n, $1, c.data from unnest($2::text[], $3::text[]) t(old, new) join blob_chunk c on c.blob_id = t.old
  returning blob_id)
select count(distinct blob_id) from c"""

GET: Final = f"select {_RUN}, input, output, error from run where project_id = $1 and run_id = $2"

FIND: Final = "select run_id from run where project_id = $1 and run_id between $2 and $3 order by run_id desc limit 4"

PAGE: Final = f"""select {_RUN}, null::bytea as input, null::bytea as output, null::bytea as error from run
where project_id = $1 and ($2::uuid is null or run_id < $2) and ($3::text is null or flow_name = $3)
  and ($4::bytea is null or flow_version = $4) and ($5::smallint[] is null or status = any($5))
  and ($6::uuid is null or batch_id = $6)
  and ($7::float8 is null or created_at >= to_timestamp($7)) and ($8::float8 is null or created_at < to_timestamp($8))
  and ($9::text is null or labels @> $9::jsonb)
order by run_id desc limit $10"""

EVENTS: Final = """select seq, kind, step_key, attempt, fence, body, extract(epoch from at)::float8 as at
from journal where shelf = (select shelf from run where project_id = $1 and run_id = $2) and run_id = $2 and seq > $3
order by seq limit $4"""

# A run that nobody holds ends here and now; the owner of any other learns of it.
CANCEL: Final = """with u as (update run set cancel_at = coalesce(cancel_at, now()), cancel_reason = coalesce(cancel_reason, $3),
    status = case when status in (0, 2, 6) then 5 else status end,
    fence = case when status in (0, 2, 6) then fence + 1 else fence end,
    seq = case when status in (0, 2, 6) then seq + 1 else seq end,
    finished_at = case when status in (0, 2, 6) then clock_timestamp() end
  where project_id = $1 and run_id = $2 and status in (0, 1, 2, 6) returning run_id, shelf, seq, fence, status, worker_id),
j as (insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
  select shelf, run_id, seq, $4::smallint, null, 0, fence, $5, clock_timestamp() from u where status = 5),
w as (delete from wait using u where wait.run_id = u.run_id and u.status = 5)
select worker_id from u"""

# The run's row first: signals of a run take their times one after another, in the order in which they become durable.
SIGNAL: Final = """with held as materialized (select run_id from run
  where project_id = $1 and run_id = $2 and status in (0, 1, 2) and (sig < $6 or $4 like 'approval:%') for update),
i as (insert into signal(signal_id, run_id, name, body) select $3, run_id, $4, $5 from held
  on conflict do nothing returning run_id)
update run r set sig = sig + 1, status = case when status = 2 then 0 else status end,
  ready_at = case when status = 2 then now() else ready_at end
from i where r.run_id = i.run_id and r.status in (0, 1, 2) returning r.worker_id, r.queue, r.status"""

SIGNAL_KNOWN: Final = "select 1 from signal where signal_id = $1 and run_id = $2"
SIGNALS: Final = """select signal_id, name, body, extract(epoch from at)::float8 as at from signal
where run_id = (select run_id from run where project_id = $1 and run_id = $2) order by at, signal_id"""

REDRIVE: Final = """with u as (update run set status = 0, takeovers = 0, fence = fence + 1, seq = seq + 1, ready_at = now(),
    error = null, finished_at = null where project_id = $1 and run_id = $2 and status = 6
  returning run_id, shelf, seq, fence)
insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
select shelf, run_id, seq, $3::smallint, null, 0, fence, $4, clock_timestamp() from u returning 1"""

WAITING: Final = """select run_id, flow_name, step_key, what, name, extract(epoch from due_at)::float8 as due_at,
  extract(epoch from since)::float8 as since, body from wait
where project_id = $1 and ($2::text is null or what = $2) and ($3::uuid is null or run_id = $3)
  and ($6::uuid is null
    or (coalesce(extract(epoch from due_at)::float8, 'infinity'), run_id, step_key) > ($5::float8, $6, $7::text))
order by due_at nulls last, run_id, step_key limit $4"""

BATCH: Final = "select status, count(*) as n from run where project_id = $1 and batch_id = $2 group by status"

# Reads the index of all runs in batches: a batch has no row of its own.
BATCHES: Final = """select batch_id, min(flow_name) as flow_name, extract(epoch from min(created_at))::float8 as created_at
from run where project_id = $1 and batch_id is not null group by batch_id
having $2::float8 is null or (extract(epoch from min(created_at))::float8, batch_id) < ($2, $3::uuid)
order by min(created_at) desc, batch_id desc limit $4"""
BATCH_COUNTS: Final = """select batch_id, status, count(*) as n from run
where project_id = $1 and batch_id = any($2::uuid[]) group by batch_id, status"""

QUEUED: Final = """select count(*)::int from
  (select 1 from run where status = 0 and queue = 'default' and project_id = $1 limit $2) found"""
RUNS_BY_STATUS: Final = "select status, count(*) as n from run group by status"
OLDEST_QUEUED: Final = """select extract(epoch from clock_timestamp() - to_timestamp(min(vt) / 1e6))::float8
from run where status = 0"""
WORKERS: Final = """select worker_id, pool, capacity, extract(epoch from lease_until - clock_timestamp())::float8 as lease_left,
  extract(epoch from started_at)::float8 as started_at,
  (select count(*) from run where run.worker_id = worker.worker_id and status = 1) as runs from worker order by started_at"""
SIZES: Final = """select relname, pg_total_relation_size(oid) as bytes from pg_class
where relkind = 'r' and relnamespace = 'public'::regnamespace order by 2 desc limit 30"""

"""The statements of `webhook_store.py`, a name each."""

from __future__ import annotations

from typing import Final

from interplay.core.webhooks.trying import BEHIND, MOST_BEHIND

_KEPT: Final = """w.webhook_id, w.project_id, w.name, w.body::text as webhook, w.secret::text as secret, w.paused, w.disabled,
  w.revision, w.key_id, w.failures, extract(epoch from w.rests_until)::float8 as rests_until, w.problem, w.delivered,
  w.dead, extract(epoch from w.created_at)::float8 as created_at"""

# Changed by a person: whatever held it up before is over, and it is called at once.
_ANEW: Final = "disabled = null, failures = 0, rests_until = null, problem = null, revision = revision + 1"

INSERT: Final = f"""insert into webhook as w(webhook_id, project_id, name, body, secret, key_id, paused)
values ($1, $2, $3, $4::jsonb, $5::jsonb, $6, $7) on conflict (project_id, name) do nothing returning {_KEPT}"""
HELD: Final = f"select {_KEPT} from webhook w where project_id = $1 and name = $2 for update"
GET: Final = f"select {_KEPT} from webhook w where project_id = $1 and name = $2"
CHANGE: Final = f"""update webhook w set body = $2::jsonb, key_id = $3, paused = $4, {_ANEW}
where webhook_id = $1 returning {_KEPT}"""
PAUSE: Final = f"update webhook w set paused = $2, {_ANEW} where webhook_id = $1 returning {_KEPT}"
ROTATE: Final = f"""update webhook w set secret = $3::jsonb, revision = revision + 1
where webhook_id = $1 and secret = $2::jsonb returning {_KEPT}"""
PAGE: Final = f"""select {_KEPT} from webhook w where project_id = $1 and ($3::text is null or name > $3)
order by name limit $2"""
NAMES: Final = "select name from webhook where project_id = $1 order by name limit 1000"
DELETE: Final = "delete from webhook where project_id = $1 and name = $2 returning 1"
ANY: Final = "select exists (select from webhook where disabled is null)"
WANTED: Final = "select distinct project_id from webhook where disabled is null and project_id = any($1::int[])"
LISTENING: Final = f"select {_KEPT} from webhook w where disabled is null and project_id = any($1::int[]) order by name"

# The webhook's row is held against its end, or a delivery of one that goes at this moment would fail all of them.
QUEUE: Final = """with d as (select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::int[], $5::text[], $6::bytea[])
    as d(delivery_id, webhook_id, run_id, seq, event, body)),
w as materialized (select webhook_id from webhook where webhook_id in (select webhook_id from d) for key share),
i as (insert into webhook_delivery(delivery_id, webhook_id, run_id, seq, event, body)
  select d.* from d join w using (webhook_id) on conflict do nothing returning 1)
select count(*) from i"""

# By the statement's own time, which an index can be searched by: what waits for hours is not looked at each time.
# Of each webhook as many as there is room for, whatever the others have. What fails comes behind what gets through by
# so much time and no more: it has its turn, too, however busy the others are.
CLAIM: Final = f"""with o as (
  select w.webhook_id, w.failures, greatest(0,
    case when w.failures >= $5 then 1 when w.failures > 0 then least(2, $2) else $2 end - coalesce(b.busy, 0)) as room
  from webhook w left join unnest($3::uuid[], $4::int[]) as b(webhook_id, busy) using (webhook_id)
  where not w.paused and w.disabled is null and (w.rests_until is null or w.rests_until <= statement_timestamp())),
p as materialized (
  select d.delivery_id from o cross join lateral (
    select delivery_id, due_at from webhook_delivery
    where webhook_id = o.webhook_id and state = 0 and due_at <= statement_timestamp()
    order by due_at limit o.room for update skip locked) d
  order by d.due_at + make_interval(secs => {BEHIND} * least(o.failures, {MOST_BEHIND})) limit $1)
update webhook_delivery d set attempts = d.attempts + 1, fence = d.fence + 1,
  due_at = clock_timestamp() + make_interval(secs => $6)
from p, webhook w where d.delivery_id = p.delivery_id and w.webhook_id = d.webhook_id
returning d.delivery_id, d.event, d.body, d.attempts, d.fence, {_KEPT}"""

# One that is late, because its lease ended and somebody else claimed it, has another fence by then.
SETTLE: Final = """update webhook_delivery d set state = t.state, status = t.status, detail = t.detail,
  due_at = clock_timestamp() + make_interval(secs => t.after),
  settled_at = case when t.state = 0 then null else clock_timestamp() end
from unnest($1::uuid[], $2::int[], $3::smallint[], $4::int[], $5::text[], $6::float8[])
  as t(delivery_id, fence, state, status, detail, after)
where d.delivery_id = t.delivery_id and d.fence = t.fence and d.state = 0 returning d.delivery_id"""
FARED: Final = """update webhook set delivered = delivered + $2, dead = dead + $3,
  failures = case when $2 > 0 then 0 else failures + 1 end, problem = case when $2 > 0 then null else $4 end,
  rests_until = case when $2 > 0 and $5::float8 = 0 then null else clock_timestamp() + make_interval(secs => greatest($5::float8,
    case when $2 > 0 or failures + 1 < $6 then 0 else least($8::float8, $7 * 2 ^ least(failures + 1 - $6, 10)) end)) end
where webhook_id = $1"""
DISABLE: Final = "update webhook set disabled = $2 where webhook_id = $1"
# In pieces, so that a webhook with a million of them holds up nobody: what is left then is seen to by `expire`.
LEFT_BEHIND: Final = """with d as (update webhook_delivery set state = 2, detail = $2, settled_at = clock_timestamp()
  where state = 0 and delivery_id in (select delivery_id from webhook_delivery where webhook_id = $1 and state = 0 limit 1000)
  returning 1)
update webhook set dead = dead + (select count(*) from d) where webhook_id = $1"""

_WHICH: Final = """webhook_id = $1 and ($2::uuid is null or delivery_id = $2) and ($3::smallint is null or state = $3)
  and ($4::float8 is null or created_at >= to_timestamp($4)) and ($5::float8 is null or created_at < to_timestamp($5))"""
DELIVERIES: Final = f"""select delivery_id, run_id, seq, event, state, attempts, extract(epoch from created_at)::float8 as created_at,
  extract(epoch from due_at)::float8 as due_at, extract(epoch from settled_at)::float8 as settled_at, status, detail
from webhook_delivery where {_WHICH}
  and ($7::float8 is null or (created_at, delivery_id) < (to_timestamp($7), $8::uuid))
order by webhook_delivery.created_at desc, delivery_id desc limit $6"""
REPLAY: Final = f"""with d as (update webhook_delivery set state = 0, attempts = 0, fence = fence + 1,
  due_at = clock_timestamp(), queued_at = clock_timestamp(), settled_at = null where {_WHICH} and state <> 0 returning 1) select count(*) from d"""
EXPIRE: Final = """with e as (select delivery_id from webhook_delivery
  where state = 0 and queued_at < statement_timestamp() - make_interval(secs => $1) limit $2 for update skip locked),
g as (select d.delivery_id, w.disabled from webhook w, webhook_delivery d
  where w.disabled is not null and d.webhook_id = w.webhook_id and d.state = 0 limit $2),
d as (update webhook_delivery set state = 2, settled_at = clock_timestamp(), detail = coalesce(
    (select disabled from g where g.delivery_id = webhook_delivery.delivery_id),
    coalesce(detail || ' ', '') || 'It waited too long, and is tried no more.')
  where state = 0 and delivery_id in (select delivery_id from e union select delivery_id from g) returning webhook_id),
n as (select webhook_id, count(*) as dead from d group by 1),
w as (update webhook set dead = webhook.dead + n.dead from n where webhook.webhook_id = n.webhook_id)
select coalesce(sum(dead), 0) from n"""
FORGET: Final = """with d as (delete from webhook_delivery where delivery_id in (select delivery_id from webhook_delivery
    where state <> 0 and settled_at < statement_timestamp() - make_interval(days => $1) limit $2)
  returning 1) select count(*) from d"""

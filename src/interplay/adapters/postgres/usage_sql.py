"""The statements of usage: records and daily sums in one, so that neither is without the other."""

from __future__ import annotations

from typing import Final

COLUMNS: Final = (
    ("record_id", "uuid"), ("at", "timestamptz"), ("project_id", "int"), ("key_id", "uuid"), ("alias", "text"),
    ("deployment", "text"), ("flow", "text"), ("run_id", "uuid"), ("status", "smallint"), ("outcome", "text"),
    ("calls", "int"), ("input_tokens", "bigint"), ("output_tokens", "bigint"), ("cached_tokens", "bigint"),
    ("reasoning_tokens", "bigint"), ("image_tokens", "bigint"), ("audio_tokens", "bigint"),
    ("usd", "double precision"), ("seconds", "real"), ("first_token", "real"), ("cached", "text"),
    ("attempts", "smallint"), ("estimated", "boolean"),
)  # fmt: skip
NAMES: Final = ", ".join(name for name, _ in COLUMNS)
# one JSON document: arrays of 23 columns take ten times as long to encode, in the loop that answers calls
_GIVEN: Final = ", ".join(f"(given.record->>{place})::{kind}" for place, (_, kind) in enumerate(COLUMNS))
NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_SUMMED: Final = (
    "calls",
    "failed",
    "cache_hits",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "image_tokens",
    "audio_tokens",
    "usd",
    "unpriced",
    "seconds",
    "estimated",
)

WRITE: Final = f"""with fresh as (
    insert into usage_record(process_id, {NAMES}) select $1, {_GIVEN}
    from jsonb_array_elements($2::jsonb) as given(record)
    on conflict (record_id) do nothing returning {NAMES}),
summed as (
    insert into usage_daily as d(project_id, day, key_id, alias, deployment, flow, {", ".join(_SUMMED)})
    select project_id, (at at time zone 'UTC')::date, coalesce(key_id, '{NOBODY}'), alias, deployment, flow,
        count(*), count(*) filter (where outcome <> 'ok'), count(*) filter (where cached <> ''),
        sum(input_tokens), sum(output_tokens), sum(cached_tokens), sum(reasoning_tokens), sum(image_tokens),
        sum(audio_tokens), coalesce(sum(usd), 0), count(*) filter (where usd is null), sum(seconds),
        count(*) filter (where estimated)
    from fresh group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
    on conflict (project_id, day, key_id, alias, deployment, flow) do update set
        {", ".join(f"{name} = d.{name} + excluded.{name}" for name in _SUMMED)})
select count(*) from fresh"""

GROUPS: Final = {
    "project": "project_id::text", "key": f"nullif(key_id, '{NOBODY}')::text", "model": "alias",
    "deployment": "deployment", "flow": "flow", "day": "day::text",
}  # fmt: skip
SUMS: Final = f"""select {{groups}} {", ".join(f"coalesce(sum({name}), 0) as {name}" for name in _SUMMED)}
from usage_daily where ($1::int is null or project_id = $1) and ($2::date is null or day >= $2)
and ($3::date is null or day <= $3) and ($4::uuid is null or key_id = $4) and ($5::text is null or alias = $5)
and ($6::text is null or flow = $6) {{grouping}}"""

LATEST: Final = f"""select {NAMES} from usage_record where project_id = $1 and ($3::uuid is null or record_id < $3)
order by record_id desc limit $2"""
OF_TARGET: Final = f"""select {NAMES} from usage_record where project_id = $1 and (alias = $2 or deployment = $2)
and at >= $3 and ($4::timestamptz is null or at < $4) and ($5::uuid is null or record_id > $5)
order by record_id limit $6"""

# The old cost is read under the row's lock: two corrections at once do not add up wrongly.
REPRICE: Final = f"""with given as (select * from unnest($1::uuid[], $2::double precision[]) as g(record_id, usd)),
held as (select r.record_id, r.usd as before, g.usd as after, r.project_id, (r.at at time zone 'UTC')::date as day,
    coalesce(r.key_id, '{NOBODY}') as key_id, r.alias, r.deployment, r.flow
    from usage_record r join given g using (record_id) order by r.record_id for update of r),
changed as (update usage_record r set usd = h.after from held h
    where r.record_id = h.record_id and h.before is distinct from h.after),
moved as (select project_id, day, key_id, alias, deployment, flow, sum(coalesce(after, 0) - coalesce(before, 0)) as usd,
    count(*) filter (where after is null) - count(*) filter (where before is null) as unpriced
    from held group by 1, 2, 3, 4, 5, 6)
update usage_daily d set usd = d.usd + m.usd, unpriced = d.unpriced + m.unpriced from moved m
where d.project_id = m.project_id and d.day = m.day and d.key_id = m.key_id and d.alias = m.alias
and d.deployment = m.deployment and d.flow = m.flow"""

# `xid` is whose transaction wrote the record. What is below the oldest one that is under way is whole: nothing can come
# before it any more. So a place in the feed is a transaction and a record of it, and none is passed over.
# A place that is ahead of every transaction is of the cluster that this one was restored from: it begins anew.
REACHED: Final = """insert into feed as f(name, xid, record_id) values ('usage', '0', $1)
on conflict (name) do update set
  xid = case when f.xid > pg_snapshot_xmax(pg_current_snapshot()) then '0' else f.xid end,
  record_id = case when f.xid > pg_snapshot_xmax(pg_current_snapshot()) then $1 else f.record_id end
returning xid::text, record_id"""
UNPUBLISHED: Final = f"""select {NAMES}, xid::text as xid from usage_record
where (xid, record_id) > ($1::text::xid8, $2::uuid) and xid < pg_snapshot_xmin(pg_current_snapshot())
order by xid, record_id limit $3"""
REACH: Final = """update feed set xid = $3::text::xid8, record_id = $4
where name = 'usage' and xid = $1::text::xid8 and record_id = $2 returning 1"""

RETIRE: Final = """delete from usage_record where ctid = any(array(
    select ctid from usage_record where at < now() - $1::interval limit 5000))"""

"""Tenancy: keys, limits and budgets leased in slices, usage and its daily sums, prices, the configuration's version."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# Raised by a trigger, so that no writer can forget it. The row lock makes versions commit in order.
_NOTE = """create function note_config_change() returns trigger language plpgsql as $$
declare changed jsonb; next bigint;
begin
    changed := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
    update config_version set version = version + 1 returning version into next;
    insert into config_change(version, noun, project_id, name) values (
        next, tg_argv[0], (changed->>'project_id')::int, coalesce(changed->>tg_argv[1], ''));
    return null;
end $$"""

_WATCHED = (
    ("api_key", "key", "key_id"),
    ("project", "project", "project_id"),
    ("connection", "connection", "name"),
    ("model", "model", "name"),
    ("price", "price", "target"),
)

# What a lease gets: a twentieth of the cap, at least what is needed; else at most half of what is left.
_SLICE = """create function allowance_slice(cap bigint, used bigint, need bigint) returns bigint
language sql immutable as $$
    select case when cap - used < need then 0
        else greatest(need, least(greatest(1, cap / 20), (cap - used) / 2)) end
$$"""

# One round trip for all wants of a process. Each statement of it sees what others have committed by then.
_LEASE = """create function lease_allowances(
    process uuid, alive_for interval, meters text[], caps bigint[], kinds text[], needs bigint[])
returns table(meter_id text, amount bigint, seconds double precision, processes int, starts bigint, remaining bigint)
language plpgsql as $$
#variable_conflict use_column
declare
    place int; began timestamptz; ends timestamptz; given bigint; taken bigint; alive int;
begin
    insert into allowance_process as p(process_id, heard_at, expires_at)
    values (process, clock_timestamp(), clock_timestamp() + alive_for)
    on conflict (process_id) do update set heard_at = excluded.heard_at, expires_at = excluded.expires_at;
    select count(*) into alive from allowance_process where expires_at > clock_timestamp();
    for place in select n from generate_subscripts(meters, 1) n order by meters[n] loop
        if kinds[place] = 'held' then
            perform pg_advisory_xact_lock(hashtextextended(meters[place], 11));
            select coalesce(sum(h.amount), 0) into taken
            from allowance_hold h join allowance_process p using (process_id)
            where h.meter_id = meters[place] and p.expires_at > clock_timestamp();
            given := allowance_slice(caps[place], taken, needs[place]);
            began := 'epoch'; ends := 'infinity'; taken := taken + given;
        else
            began := case kinds[place] when 'total' then 'epoch'
                else date_trunc(kinds[place], clock_timestamp(), 'UTC') end;
            ends := case kinds[place] when 'total' then 'infinity'
                else date_trunc(kinds[place], clock_timestamp(), 'UTC') + ('1 ' || kinds[place])::interval end;
            insert into allowance as a(meter_id, starts, cap, used, granted)
            values (meters[place], began, caps[place], allowance_slice(caps[place], 0, needs[place]),
                allowance_slice(caps[place], 0, needs[place]))
            on conflict (meter_id, starts) do update set cap = excluded.cap,
                used = a.used + allowance_slice(excluded.cap, a.used, needs[place]),
                granted = allowance_slice(excluded.cap, a.used, needs[place])
            returning a.granted, a.used into given, taken;
        end if;
        if given > 0 and (kinds[place] = 'held' or meters[place] like 'usd:%') then
            insert into allowance_hold as h(meter_id, starts, process_id, amount, cap)
            values (meters[place], began, process, given, caps[place])
            on conflict (meter_id, starts, process_id) do update set amount = h.amount + given, cap = excluded.cap;
        end if;
        meter_id := meters[place]; amount := given; processes := alive; remaining := greatest(0, caps[place] - taken);
        seconds := case when ends = 'infinity' then 'Infinity'::float8
            else greatest(0, extract(epoch from ends - clock_timestamp())) end;
        starts := extract(epoch from began)::bigint;
        return next;
    end loop;
end $$"""

_STATEMENTS = (
    # ---- the configuration's version, and what changed with each
    "create table config_version(one boolean primary key default true check (one), version bigint not null)",
    "insert into config_version(version) values (1)",
    """create table config_change(
        version bigint primary key, noun text not null, project_id int not null, name text not null,
        at timestamptz not null default clock_timestamp())""",
    _NOTE,
    # ---- projects and keys; project 0 stands for the whole organisation
    "alter table project add column limits jsonb not null default '{}', add column budgets jsonb not null default '{}'",
    "insert into project(project_id, name) values (0, '(organisation)')",
    """create table api_key(
        key_id uuid primary key, project_id int not null references project, name text not null,
        digest bytea not null unique, hint text not null, scopes text[] not null, models text[], flows text[],
        limits jsonb not null default '{}', budgets jsonb not null default '{}', metadata jsonb not null default '{}',
        created_at timestamptz not null, expires_at timestamptz, revoked_at timestamptz, deleted_at timestamptz,
        former_digest bytea, former_until timestamptz)""",
    "create index api_key_list on api_key(project_id, key_id) where deleted_at is null",
    # ---- allowances
    """create table allowance_process(
        process_id uuid primary key, heard_at timestamptz not null, expires_at timestamptz not null)""",
    """create table allowance(
        meter_id text not null, starts timestamptz not null, cap bigint not null, used bigint not null,
        granted bigint not null, primary key(meter_id, starts)) with (fillfactor=50)""",
    """create table allowance_hold(
        meter_id text not null, starts timestamptz not null, process_id uuid not null, amount bigint not null,
        cap bigint not null, primary key(meter_id, starts, process_id)) with (fillfactor=50)""",
    "create index allowance_hold_process on allowance_hold(process_id)",
    _SLICE,
    _LEASE,
    # ---- prices and usage
    """create table price(
        project_id int not null references project, target text not null, valid_from timestamptz not null,
        body jsonb not null, primary key(project_id, target, valid_from))""",
    """create table usage_record(
        record_id uuid primary key, at timestamptz not null, process_id uuid not null, project_id int not null,
        key_id uuid, alias text not null, deployment text not null, flow text not null, run_id uuid,
        status smallint not null, outcome text not null, calls int not null,
        input_tokens bigint not null, output_tokens bigint not null, cached_tokens bigint not null,
        reasoning_tokens bigint not null, image_tokens bigint not null, audio_tokens bigint not null,
        usd double precision, seconds real not null, first_token real, cached text not null,
        attempts smallint not null)""",
    "create index usage_record_time on usage_record using brin(at)",
    "create index usage_record_project on usage_record(project_id, at)",
    """create table usage_daily(
        project_id int not null, day date not null, key_id uuid not null, alias text not null,
        deployment text not null, flow text not null, calls bigint not null, failed bigint not null,
        cache_hits bigint not null, input_tokens bigint not null, output_tokens bigint not null,
        cached_tokens bigint not null, reasoning_tokens bigint not null, image_tokens bigint not null,
        audio_tokens bigint not null, usd double precision not null, unpriced bigint not null,
        seconds double precision not null,
        primary key(project_id, day, key_id, alias, deployment, flow)) with (fillfactor=50)""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)
    for table, noun, name in _WATCHED:
        op.execute(
            f"create trigger note_change after insert or update or delete on {table} "
            f"for each row execute function note_config_change('{noun}', '{name}')"
        )

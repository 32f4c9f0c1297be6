"""Schedules, and what they fired."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_STATEMENTS = (
    """create table schedule(
        schedule_id uuid primary key, project_id int not null references project, name text not null,
        body jsonb not null, paused boolean not null default false, revision bigint not null default 1,
        next_at timestamptz not null, waiting_for timestamptz, key_id uuid,
        created_at timestamptz not null default clock_timestamp(),
        changed_at timestamptz not null default clock_timestamp(),
        unique(project_id, name)) with (fillfactor=50)""",
    "create index schedule_due on schedule(next_at) where not paused",
    "create index schedule_waiting on schedule(schedule_id) where waiting_for is not null and not paused",
    # `going`: its run has not ended, as far as anybody has looked
    """create table schedule_fire(
        schedule_id uuid not null references schedule on delete cascade, scheduled_for timestamptz not null,
        at timestamptz not null default clock_timestamp(), outcome text not null, run_id uuid,
        manual boolean not null default false, detail text, going boolean not null default false,
        primary key(schedule_id, scheduled_for))""",
    "create index schedule_fire_going on schedule_fire(schedule_id) where going",
    "create index schedule_fire_time on schedule_fire using brin(at)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

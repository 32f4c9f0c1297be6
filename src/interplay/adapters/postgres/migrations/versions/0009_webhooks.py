"""Webhooks, what is to be delivered to them, and the secrets of triggers that are called."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

_STATEMENTS = (
    """create table webhook(
        webhook_id uuid primary key, project_id int not null references project, name text not null,
        body jsonb not null, secret jsonb not null, paused boolean not null default false, disabled text,
        revision bigint not null default 1, key_id uuid, failures int not null default 0, rests_until timestamptz,
        problem text, delivered bigint not null default 0, dead bigint not null default 0,
        created_at timestamptz not null default clock_timestamp(),
        unique(project_id, name)) with (fillfactor=50)""",
    # state: 0 waits, 1 delivered, 2 dead. `due_at` of one that is being tried: when its lease ends. `fence` only rises
    """create table webhook_delivery(
        delivery_id uuid primary key, webhook_id uuid not null references webhook on delete cascade,
        run_id uuid not null, seq int not null, event text not null, body bytea not null,
        state smallint not null default 0, attempts int not null default 0, fence int not null default 0,
        due_at timestamptz not null default clock_timestamp(), queued_at timestamptz not null default clock_timestamp(),
        created_at timestamptz not null default clock_timestamp(), settled_at timestamptz, status int, detail text,
        unique(webhook_id, run_id, seq)) with (fillfactor=80)""",
    "create index webhook_delivery_due on webhook_delivery(webhook_id, due_at) where state = 0",
    "create index webhook_delivery_waits on webhook_delivery(queued_at) where state = 0",
    "create index webhook_delivery_dead on webhook_delivery(webhook_id, created_at) where state = 2",
    "create index webhook_delivery_place on webhook_delivery(webhook_id, created_at desc, delivery_id desc)",
    "create index webhook_delivery_settled on webhook_delivery using brin(settled_at)",
    "alter table trigger_topic add column secret jsonb",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

"""Triggers: which topics start which flows."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # `problem`: why it does not get on at the moment; `start` says where a group of this generation begins
    op.execute(
        """create table trigger_topic(
        trigger_id uuid primary key, project_id int not null references project, name text not null,
        body jsonb not null, paused boolean not null default false, revision bigint not null default 1,
        generation int not null default 0, start jsonb not null, key_id uuid,
        started bigint not null default 0, doubled bigint not null default 0, passed bigint not null default 0,
        dead bigint not null default 0, problem text, problem_at timestamptz,
        created_at timestamptz not null default clock_timestamp(),
        unique(project_id, name)) with (fillfactor=50)"""
    )

"""Which usage is estimated: of each call, and how many calls of a day."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

_STATEMENTS = (
    "alter table usage_record add column estimated boolean not null default false",
    "alter table usage_daily add column estimated bigint not null default 0",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

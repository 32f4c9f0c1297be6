"""Answers of shadow calls, beside those that were given."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    """create table comparison(
        comparison_id bigint generated always as identity primary key,
        project_id int not null references project, alias text not null, body bytea not null)""",
    "create index comparison_newest on comparison(project_id, alias, comparison_id desc)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)

"""An index by which a claim finds the first queued runs of every project."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("create index run_turn on run(queue, project_id, priority desc, vt) where status = 0")

"""Whose key a run was started with: what its steps use counts on that key."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("alter table run add column key_id uuid")

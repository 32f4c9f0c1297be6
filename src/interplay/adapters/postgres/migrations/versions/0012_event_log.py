"""The event log: how many of its events are published, for each run, and up to where the records of usage are."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0009"


def upgrade() -> None:
    # -1: nobody listens to this run
    op.execute("alter table run add column pub_seq int not null default -1")
    op.execute("alter table usage_record add column xid xid8")
    op.execute("alter table usage_record alter column xid set default pg_current_xact_id()")
    op.execute("create index usage_record_feed on usage_record(xid, record_id) where xid is not null")
    op.execute("create table feed(name text primary key, xid xid8 not null, record_id uuid not null)")
    op.execute("create index run_unpublished on run(run_id) where status >= 2 and pub_seq >= 0 and pub_seq < seq")

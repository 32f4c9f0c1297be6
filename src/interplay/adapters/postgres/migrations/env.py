"""Alembic's entry: runs the migrations on the connection that `schema.py` hands in."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="schema_version")
with context.begin_transaction():
    context.run_migrations()

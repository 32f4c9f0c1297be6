"""Migrations of the ledger, by Alembic; each is plain SQL."""

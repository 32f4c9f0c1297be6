"""PostgreSQL: the ledger, and the only folder that holds SQL."""

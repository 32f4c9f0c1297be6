"""What must hold when things break: real processes, real PostgreSQL, real kills."""

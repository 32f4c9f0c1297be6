"""The PostgreSQL that everybody uses: the one of a running `interplay up`, with a database for each system."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg


@dataclass(frozen=True)
class DatabaseServer:
    """Listens on loopback. `user` may make databases."""

    host: str
    port: int
    user: str
    password: str

    @classmethod
    def of_home(cls, home: Path) -> DatabaseServer:
        """The embedded server of a home whose path is too long for a socket, so that it listens on loopback."""
        lines = (home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
        password = (home / "postgres" / "password").read_text().strip()
        return cls("127.0.0.1", int(lines[3]), "interplay", password)

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}:{quote(self.password, safe='')}@{self.host}:{self.port}/{database}"

    async def make(self, database: str) -> str:
        """A new, empty database; its URL."""
        connection = await asyncpg.connect(self.url("interplay"))
        try:
            await connection.execute(f'CREATE DATABASE "{database}"')
        finally:
            await connection.close()
        return self.url(database)

    async def promises(self) -> dict[str, str]:
        """Its version, and the settings that a durable commit depends on."""
        connection = await asyncpg.connect(self.url("interplay"))
        try:
            names = ("server_version", "fsync", "synchronous_commit", "full_page_writes")
            return {name: str(await connection.fetchval(f"SHOW {name}")) for name in names}
        finally:
            await connection.close()

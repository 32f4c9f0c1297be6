"""Where the embedded PostgreSQL listens: a socket in its directory, or loopback where the path is too long."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

SOCKET_PORT = 5432
# The kernel's limit for the path of a socket is 108 bytes with the closing zero.
MAX_SOCKET_PATH = 107
LOOPBACK = "127.0.0.1"
USER = "interplay"
DATABASE = "interplay"


@dataclass(frozen=True)
class Listening:
    """`socket_directory` is None on loopback."""

    socket_directory: Path | None
    port: int

    def settings(self) -> dict[str, str]:
        """The settings of PostgreSQL that make it listen there and nowhere else."""
        if self.socket_directory is None:
            return {"listen_addresses": LOOPBACK, "port": str(self.port), "unix_socket_directories": ""}
        quoted = str(self.socket_directory).replace('"', '""')
        return {
            "listen_addresses": "",
            "port": str(self.port),
            "unix_socket_directories": f'"{quoted}"',
            "unix_socket_permissions": "0700",
        }

    def url(self, password: str, database: str = DATABASE) -> str:
        """The address for asyncpg, SQLAlchemy and libpq."""
        secret = quote(password, safe="")
        if self.socket_directory is None:
            return f"postgresql://{USER}:{secret}@{LOOPBACK}:{self.port}/{quote(database)}"
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{USER}:{secret}@/{quote(database)}?host={host}&port={self.port}"


def choose_listening(socket_directory: Path, remembered_port: int | None = None) -> Listening:
    """The socket where its path is usable, else a free loopback port (the remembered one, if it is free)."""
    if fits_socket(socket_directory):
        return Listening(socket_directory, SOCKET_PORT)
    return Listening(None, _free_port(remembered_port))


def fits_socket(socket_directory: Path) -> bool:
    """Whether PostgreSQL and its clients can use a socket in this folder."""
    path = str(socket_directory / f".s.PGSQL.{SOCKET_PORT}")
    # Clients read a comma as the start of a second host.
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH and "," not in path


def _free_port(wanted: int | None) -> int:
    for port in (wanted or 0, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free loopback port")


def remembered_port(path: Path) -> int | None:
    """The loopback port of the last start, so that the address stays where it can."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None

"""The URL of an embedded PostgreSQL that another process runs."""

from __future__ import annotations

from pathlib import Path

from interplay.adapters.postgres.embedded import postmaster
from interplay.adapters.postgres.embedded.listening import SOCKET_PORT, Listening, fits_socket, remembered_port
from interplay.adapters.postgres.embedded.paths import Paths


def url_of_running(directory: Path) -> str | None:
    """For a second process of the same home, such as one more worker; None when none runs there.

    Reads only. The URL holds until the process that holds the home stops.
    Raises `PermissionError` when the home is not ours to read.
    """
    paths = Paths(Path(directory).expanduser().absolute())
    pid = postmaster.recorded_pid(paths.pid_file)
    if pid is None or not postmaster.is_ready(paths.pid_file, pid):
        return None
    if postmaster.CAN_SEE_PROCESSES and pid not in postmaster.processes_in(paths.data):
        return None
    port = remembered_port(paths.port)
    if fits_socket(paths.run):
        listening = Listening(paths.run, SOCKET_PORT)
    elif port is not None:
        listening = Listening(None, port)
    else:
        return None
    return listening.url(paths.password.read_text().strip())

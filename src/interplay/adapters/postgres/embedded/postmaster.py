"""What a data directory says of the PostgreSQL that runs on it, or ran."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

CAN_SEE_PROCESSES = sys.platform == "linux"
_STATUS_LINE = 7
_PROGRAMS = ("postgres", "initdb")


def recorded_pid(pid_file: Path) -> int | None:
    """The pid in `postmaster.pid`, or None without a readable one."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # A stand-alone backend writes its pid with a minus.
        return abs(int(pid_file.read_text().splitlines()[0]))
    return None


def is_ready(pid_file: Path, pid: int) -> bool:
    """Whether the postmaster `pid` says that it accepts connections."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = pid_file.read_text().splitlines()
        return int(lines[0]) == pid and lines[_STATUS_LINE].strip() == "ready"
    return False


def processes_in(data: Path) -> list[int]:
    """The pids of all PostgreSQL processes that work in this data directory; each makes it its own folder.

    Linux only; elsewhere the list is empty, and PostgreSQL's own interlock must do.
    """
    try:
        wanted = data.stat()
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            folder = os.stat(f"/proc/{pid}/cwd")
            program = os.readlink(f"/proc/{pid}/exe")
            same = (folder.st_dev, folder.st_ino) == (wanted.st_dev, wanted.st_ino)
            if same and Path(program.removesuffix(" (deleted)")).name in _PROGRAMS:
                found.append(pid)
    return found


def tell(pids: Iterable[int], number: signal.Signals) -> None:
    """Sends a signal to each that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)

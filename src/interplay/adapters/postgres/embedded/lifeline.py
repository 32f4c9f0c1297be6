"""Ends PostgreSQL when its supervisor is killed.

A shell waits at a pipe whose other end only the supervisor holds. The kernel
closes that end when the supervisor dies, however it dies; the shell then asks
PostgreSQL for a fast shutdown, and after half a minute for an immediate one.
Both are safe for the data. (A parent-death signal would follow the thread that
started PostgreSQL, which may end long before the process.)
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from interplay.adapters.postgres.embedded.identity import ENVIRONMENT

_SCRIPT = """
read -r nothing
alive() { read -r recorded < "$2" 2>/dev/null && [ "$recorded" = "$1" ] && kill -0 "$1" 2>/dev/null; }
alive "$1" "$2" || exit 0
kill -CONT "$1"; kill -INT "$1"
waited=0
while alive "$1" "$2"; do
  sleep 1; waited=$((waited + 1))
  [ "$waited" = 30 ] && kill -QUIT "$1"
  [ "$waited" = 60 ] && exit 1
done
"""


class Lifeline:
    """Ties one postmaster to this process until `cut`."""

    def __init__(self, postmaster: int, pid_file: Path) -> None:
        reader, self._writer = os.pipe()
        try:
            self._shell = subprocess.Popen(
                ["sh", "-c", _SCRIPT, "interplay-lifeline", str(postmaster), str(pid_file)],
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        except OSError:
            os.close(self._writer)
            raise
        finally:
            os.close(reader)

    def cut(self) -> None:
        """Lets the shell go, without any effect on PostgreSQL."""
        with contextlib.suppress(ProcessLookupError):
            self._shell.kill()
        self._shell.wait()
        os.close(self._writer)

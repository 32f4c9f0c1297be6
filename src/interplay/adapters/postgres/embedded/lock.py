"""One supervisor a home: a lock that the kernel releases when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from interplay.adapters.postgres.embedded.errors import HomeInUse, NoRights

_READS = 20
_READ_PAUSE = 0.01


@dataclass(frozen=True)
class Holder:
    """Who holds a home: the process and the time at which it took it (UTC, to the second)."""

    pid: int
    since: str


class HomeLock:
    """The file `lock` in the directory, held by `flock` from `acquire` to `release`.

    The file stays when the lock goes: removing it would let two processes hold
    two different files of the same name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Takes the lock at once, or raises `HomeInUse` with the holder's pid and start time."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            holder = {"pid": os.getpid(), "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise self._refusal(error) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Gives the lock back; releasing a lock that is not held does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            # An explicit unlock: a forked child of ours may still share the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _refusal(self, error: OSError) -> Exception:
        directory = str(self._path.parent)
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            holder = read_holder(self._path)
            who = f"process {holder.pid}, started at {holder.since}," if holder else "another process"
            detail = f"The database of this home is already in use: {who} holds it."
            advice = "Use that one, stop it, or set INTERPLAY_HOME to another folder."
            return HomeInUse(detail, where=directory, advice=advice)
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):
            advice = "Set INTERPLAY_HOME to a folder on a local disk."
            return NoRights("This file system offers no file locks.", where=directory, advice=advice)
        return error


def read_holder(path: Path) -> Holder | None:
    """Who wrote the lock file last; waits a moment for one that is just being written."""
    for _ in range(_READS):
        try:
            said = json.loads(path.read_text())
            return Holder(pid=int(said["pid"]), since=str(said["since"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            time.sleep(_READ_PAUSE)
    return None

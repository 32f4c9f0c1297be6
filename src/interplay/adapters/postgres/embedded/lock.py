"""Locks that the kernel releases when their holders die: one supervisor a home, one PostgreSQL a database."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from interplay.adapters.postgres.embedded.errors import HomeInUse, NoRights
from interplay.adapters.postgres.embedded.paths import open_owned

_TRIES = 20
_PAUSE = 0.02


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

    async def acquire(self) -> None:
        """Takes the lock, or raises `HomeInUse` with the holder's pid and start time."""
        descriptor = open_owned(self._path, os.O_RDWR)
        try:
            await _flock_patiently(descriptor)
            holder = {"pid": os.getpid(), "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise self._refusal(error) from error
        except asyncio.CancelledError:
            os.close(descriptor)
            raise
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


class ProcessLock:
    """The file `process-lock`, held as long as any process of PostgreSQL lives.

    Each inherits the descriptor from its first moment, before any list of processes shows what
    it is, and the kernel frees the lock when the last one ends. So whoever gets it knows that
    nothing of an earlier start works on the database.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """What a process must inherit; only while it is held."""
        if self._descriptor is None:
            raise RuntimeError("the process lock is not held")
        return self._descriptor

    def acquire(self) -> bool:
        """Takes it at once, or says that a process still holds it."""
        if self._descriptor is not None:
            return True
        descriptor = open_owned(self._path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @contextlib.contextmanager
    def handed_on(self) -> Iterator[None]:
        """Afterwards only the processes started inside hold it."""
        try:
            yield
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of our part in it; processes that inherited it keep holding it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


async def _flock_patiently(descriptor: int) -> None:
    """A holder that was just killed keeps its lock for some milliseconds more."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await asyncio.sleep(_PAUSE)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_holder(path: Path) -> Holder | None:
    """Who wrote the lock file last."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said = json.loads(path.read_text())
        return Holder(pid=int(said["pid"]), since=str(said["since"]))
    return None

"""What a killed predecessor left running on the database."""

from __future__ import annotations

import asyncio
import signal
import time

from interplay.adapters.postgres.embedded import postmaster
from interplay.adapters.postgres.embedded.errors import HomeInUse
from interplay.adapters.postgres.embedded.lock import ProcessLock
from interplay.adapters.postgres.embedded.paths import Paths

_POLL = 0.02
# A fast shutdown, then an immediate one, then the end: each is safe, each later one costs a recovery.
_STAGES = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
# Processes without a postmaster end by themselves once they notice; those that are busy do not notice.
_ORPHAN_SECONDS = 1.0
_VANISH_SECONDS = 2.0


async def clear(paths: Paths, lock: ProcessLock) -> None:
    """Ends every process of PostgreSQL that earlier supervisors started here; then `lock` is held.

    Wants the home locked, so that what runs here has no living supervisor. Then removes its
    stale pid files: a pid in them may by now be that of another program, for which PostgreSQL
    would refuse to start. Raises `HomeInUse` when a process outlasts even SIGKILL, and for
    one that somebody started by hand.
    """
    for number, seconds in _STAGES:
        if await _freed(paths, lock, number, seconds):
            break
    else:
        raise _still_there(paths, "of an earlier start does not end", "It may wait for a broken disk: end it")
    gone_by = time.monotonic() + _VANISH_SECONDS
    while postmaster.processes_in(paths.data):
        if time.monotonic() > gone_by:
            raise _still_there(paths, "was started by hand on this database", "Stop it")
        await asyncio.sleep(_POLL)
    paths.remove_pid_files()


async def _freed(paths: Paths, lock: ProcessLock, number: signal.Signals, seconds: float) -> bool:
    """Tells what runs to end in this way, and waits for it; False when `seconds` were not enough."""
    told: set[int] = set()
    began = time.monotonic()
    while not lock.acquire():
        running = _running(paths)
        recorded = postmaster.recorded_pid(paths.pid_file)
        leader = {pid for pid in running if pid == recorded}
        patience = seconds if leader or number == signal.SIGKILL else _ORPHAN_SECONDS
        if time.monotonic() - began > patience:
            return False
        # The postmaster passes a shutdown on; without one, or at the very end, each process is told.
        fresh = (running if number == signal.SIGKILL else leader or running) - told
        postmaster.tell(fresh, signal.SIGCONT)
        postmaster.tell(fresh, number)
        told |= fresh
        await asyncio.sleep(_POLL)
    return True


def _running(paths: Paths) -> set[int]:
    return {pid for folder in (paths.data, *paths.staging()) for pid in postmaster.processes_in(folder)}


def _still_there(paths: Paths, what: str, advice: str) -> HomeInUse:
    pids = ", ".join(str(pid) for pid in sorted(_running(paths))) or "unknown"
    detail = f"A PostgreSQL (process {pids}) {what}."
    return HomeInUse(detail, where=str(paths.directory), advice=f"{advice}, then start again.")

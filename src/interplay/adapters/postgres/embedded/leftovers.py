"""What a killed predecessor left running on the data directory."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

from interplay.adapters.postgres.embedded import postmaster
from interplay.adapters.postgres.embedded.errors import HomeInUse
from interplay.adapters.postgres.embedded.paths import Paths

_POLL = 0.02
# A fast shutdown, then an immediate one, then the end: each is safe, each later one costs a recovery.
_STAGES = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
_ORPHAN_STAGES = ((None, 1.0), (signal.SIGQUIT, 1.0), (signal.SIGKILL, 10.0))


async def clear(paths: Paths) -> None:
    """Ends every PostgreSQL process on the data directory, then forgets its stale pid file.

    Wants the home locked, so that what runs there has no living supervisor.
    Raises `HomeInUse` when a process outlasts even SIGKILL.
    """
    pid = postmaster.recorded_pid(paths.pid_file)
    if pid is None:
        return
    for number, seconds in _stages(pid in postmaster.processes_in(paths.data)):
        if await _told(paths, pid, number, seconds):
            break
    left = postmaster.processes_in(paths.data)
    if left:
        raise HomeInUse(
            f"PostgreSQL processes of an earlier start do not end: {', '.join(map(str, left))}.",
            where=str(paths.directory),
            advice="They may wait for a broken disk; end them, then start again.",
        )
    if postmaster.CAN_SEE_PROCESSES:
        # Its pid may by now be that of another program, for which PostgreSQL would refuse to start.
        paths.pid_file.unlink(missing_ok=True)


def _stages(postmaster_lives: bool) -> Iterator[tuple[signal.Signals | None, float]]:
    yield from (_STAGES if postmaster_lives else _ORPHAN_STAGES)


async def _told(paths: Paths, pid: int, number: signal.Signals | None, seconds: float) -> bool:
    """Sends the signal, and waits at most so long until no process is left."""
    pids = postmaster.processes_in(paths.data)
    postmaster.tell(pids, signal.SIGCONT)
    if number is not None:
        # The postmaster passes it on; without one, or at the very end, each process is told.
        only_postmaster = pid in pids and number != signal.SIGKILL
        postmaster.tell([pid] if only_postmaster else pids, number)
    for _ in range(round(seconds / _POLL)):
        if not postmaster.processes_in(paths.data):
            return True
        await asyncio.sleep(_POLL)
    return False

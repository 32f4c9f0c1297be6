"""One running PostgreSQL: from its start to its end."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from interplay.adapters.postgres.embedded import child, diagnosis, leftovers, postmaster
from interplay.adapters.postgres.embedded.binaries import Binaries
from interplay.adapters.postgres.embedded.configuration import server_arguments
from interplay.adapters.postgres.embedded.identity import Identity
from interplay.adapters.postgres.embedded.lifeline import Lifeline
from interplay.adapters.postgres.embedded.listening import Listening
from interplay.adapters.postgres.embedded.lock import ProcessLock
from interplay.adapters.postgres.embedded.paths import Paths
from interplay.adapters.postgres.embedded.server_log import ServerLog

# Recovery after a crash replays at most max_wal_size; a slow disk may need minutes for it.
READY_SECONDS = 300.0
_POLL = 0.005
_FAST_SECONDS = 10.0
_IMMEDIATE_SECONDS = 10.0


@dataclass(frozen=True)
class Launch:
    """All that a start of PostgreSQL needs; a restart uses the same, so that its address stays."""

    paths: Paths
    binaries: Binaries
    identity: Identity
    listening: Listening
    process_lock: ProcessLock


class RunningPostgres:
    """A postmaster that accepts connections, tied to this process by a lifeline."""

    def __init__(self, launch: Launch, process: child.Child) -> None:
        self._paths = launch.paths
        self._lock = launch.process_lock
        self._process = process
        self._lifeline = Lifeline(process.pid, launch.paths.pid_file)

    @classmethod
    async def start(cls, launch: Launch) -> RunningPostgres:
        """Clears what an earlier one left, starts PostgreSQL and waits until it is ready."""
        lock = launch.process_lock
        await leftovers.clear(launch.paths, lock)
        log = ServerLog(launch.paths.log)
        log.rotate()
        position = log.size()
        arguments = server_arguments(launch.paths, launch.listening)
        place = child.Place(launch.identity, Path("/"), lock.descriptor)
        with log.opened() as output, lock.handed_on():
            process = child.start(place, launch.binaries.postgres, *arguments, output=output)
        try:
            running = cls(launch, process)
        except OSError:
            process.signal(signal.SIGINT)
            raise
        try:
            await running._become_ready(log, position)
        except BaseException:
            await running.stop()
            raise
        return running

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self, timeout: float | None = None) -> bool:
        """Waits for the end of the postmaster; False when `timeout` seconds passed before."""
        return await self._process.wait(timeout)

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        code = self._process.returncode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def stop(self) -> None:
        """A fast shutdown; after 10 seconds an immediate one; after 10 more the end. Each is safe for the data."""
        postmaster.tell([self.pid, *postmaster.processes_in(self._paths.data)], signal.SIGCONT)
        self._process.signal(signal.SIGINT)
        if not await self._process.wait(_FAST_SECONDS):
            self._process.signal(signal.SIGQUIT)
            if not await self._process.wait(_IMMEDIATE_SECONDS):
                postmaster.tell(postmaster.processes_in(self._paths.data), signal.SIGKILL)
                self._process.signal(signal.SIGKILL)
                await self._process.wait()
        self.release()
        if self._process.returncode != 0:
            # A postmaster that did not end in order may have left its processes behind.
            await leftovers.clear(self._paths, self._lock)

    def release(self) -> None:
        """Lets the lifeline of an ended postmaster go."""
        self._lifeline.cut()

    async def _become_ready(self, log: ServerLog, position: int) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not postmaster.is_ready(self._paths.pid_file, self.pid):
                    if await self.ended(_POLL):
                        what = f"PostgreSQL ended while starting ({self.ending})."
                        raise diagnosis.failure(self._paths, log.since(position), what)
        except TimeoutError:
            what = f"PostgreSQL was not ready after {READY_SECONDS:g} seconds."
            raise diagnosis.failure(self._paths, log.since(position), what) from None

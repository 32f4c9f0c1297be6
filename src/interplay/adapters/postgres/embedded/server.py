"""The supervisor of the embedded PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from types import TracebackType

from interplay.adapters.postgres.embedded import diagnosis, leftovers
from interplay.adapters.postgres.embedded.binaries import Binaries, find_binaries
from interplay.adapters.postgres.embedded.cluster import Cluster, check_version
from interplay.adapters.postgres.embedded.configuration import write_configuration
from interplay.adapters.postgres.embedded.database import ensure_database
from interplay.adapters.postgres.embedded.errors import EmbeddedPostgresError
from interplay.adapters.postgres.embedded.identity import choose_identity
from interplay.adapters.postgres.embedded.listening import Listening, choose_listening, remembered_port
from interplay.adapters.postgres.embedded.lock import HomeLock, ProcessLock
from interplay.adapters.postgres.embedded.paths import Paths
from interplay.adapters.postgres.embedded.running import Launch, RunningPostgres
from interplay.adapters.postgres.embedded.server_log import ServerLog

_LOG = logging.getLogger(__name__)
_ROTATE_SECONDS = 30.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_STEADY_SECONDS = 10.0


class EmbeddedPostgres:
    """PostgreSQL 18 with pgvector in one directory, for this process and as long as it lives.

    While it runs it holds a lock on the directory; a second start elsewhere says who
    holds it. A postmaster that dies is started again under the same address. When this
    process is killed, PostgreSQL shuts down by itself within moments; a start that comes
    sooner ends what is left, cleanly, and starts its own. It does not adopt a running one:
    that one is already on its way down, and only a child can be watched without polling.
    """

    def __init__(self, directory: Path, binaries: Binaries | None = None) -> None:
        """`binaries` are other programs than those of the installed package."""
        self._paths = Paths(Path(directory).expanduser().absolute())
        self._lock = HomeLock(self._paths.lock)
        self._process_lock = ProcessLock(self._paths.process_lock)
        self._running: RunningPostgres | None = None
        self._binaries = binaries
        self._watch: asyncio.Task[None] | None = None
        self._url = ""
        self.restarts = 0
        self.failure: EmbeddedPostgresError | None = None

    @property
    def directory(self) -> Path:
        return self._paths.directory

    @property
    def pid(self) -> int | None:
        """The pid of the postmaster, None while there is none."""
        return self._running.pid if self._running else None

    async def start(self) -> str:
        """Makes the database where it is missing, starts PostgreSQL and returns its URL.

        The URL fits asyncpg, SQLAlchemy and libpq, and holds as long as this object runs.
        Raises a kind of `EmbeddedPostgresError`; after one, nothing is left running or locked.
        """
        if self._watch is not None:
            return self._url
        binaries = self._binaries or find_binaries()
        try:
            check_version(self._paths)
            self._paths.make()
            await self._lock.acquire()
            check_version(self._paths)
            await leftovers.clear(self._paths, self._process_lock)
            identity = await asyncio.to_thread(choose_identity, binaries, self._paths.directory, self._paths.data)
            self._paths.open_to(identity)
            password = await Cluster(self._paths, binaries, self._process_lock).prepare(identity)
            write_configuration(self._paths)
            launch = Launch(self._paths, binaries, identity, self._choose_listening(), self._process_lock)
            self._url = launch.listening.url(password)
            self._running = await RunningPostgres.start(launch)
            await ensure_database(launch.listening, password)
        except OSError as error:
            await self.stop()
            raise diagnosis.refusal(self._paths.directory, error) or error from error
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._keep_running(launch), name="embedded-postgres")
        return self._url

    async def stop(self) -> None:
        """Shuts PostgreSQL down within about 20 seconds at worst, usually at once; may be called twice."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        running, self._running = self._running, None
        try:
            if running is not None:
                await running.stop()
        finally:
            self._process_lock.close()
            self._lock.release()

    async def __aenter__(self) -> str:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _keep_running(self, launch: Launch) -> None:
        """Keeps the log short, and starts PostgreSQL again when it ends; waits longer the sooner it fails again."""
        log = ServerLog(launch.paths.log)
        pause = 0.0
        while True:
            started = time.monotonic()
            while self._running and not await self._running.ended(_ROTATE_SECONDS):
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(log.rotate)
            if self._running:
                _LOG.warning("PostgreSQL ended unexpectedly (%s); starting it again", self._running.ending)
                self._running.release()
                self._running = None
            if time.monotonic() - started > _STEADY_SECONDS:
                pause = 0.0
            await asyncio.sleep(pause)
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            await self._start_again(launch)

    async def _start_again(self, launch: Launch) -> None:
        try:
            self._running = await RunningPostgres.start(launch)
        except EmbeddedPostgresError as error:
            self.failure = error
        except OSError as error:
            self.failure = diagnosis.refusal(self._paths.directory, error) or EmbeddedPostgresError(str(error))
        else:
            self.failure = None
            self.restarts += 1
            return
        _LOG.error("PostgreSQL does not start again: %s", self.failure)

    def _choose_listening(self) -> Listening:
        listening = choose_listening(self._paths.run, remembered_port(self._paths.port))
        if listening.socket_directory is None:
            self._paths.write(self._paths.port, f"{listening.port}\n", mode=0o600)
        return listening

"""A child process that any event loop can wait for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from interplay.adapters.postgres.embedded.identity import ENVIRONMENT, Identity


class Child:
    """A program in a session of its own, so that Ctrl-C in the terminal reaches us and not it.

    A thread waits for its end: that works on every loop, in every thread, and
    outlives a loop that is closed.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        threading.Thread(target=self._wait, name=f"wait-{process.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As `subprocess` says it: negative for a signal; None while it runs."""
        return self._process.returncode

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits for the end of the process; False when `timeout` seconds were not enough."""
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; does nothing when the process has ended."""
        self._process.send_signal(number)

    def _wait(self) -> None:
        self._process.wait()
        # The loop may be gone: then nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)


@dataclass(frozen=True)
class Place:
    """How a program of PostgreSQL is started: as whom, in which folder, and with what lock to inherit."""

    identity: Identity
    folder: Path
    lock: int


def start(place: Place, *arguments: str | Path, output: IO[bytes], source: IO[bytes] | None = None) -> Child:
    """Starts a program of PostgreSQL; it reads from `source` and prints to `output`."""
    identity = place.identity
    return Child(
        subprocess.Popen(
            identity.command(*arguments),
            stdin=subprocess.DEVNULL if source is None else source,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=place.folder,
            env=ENVIRONMENT,
            pass_fds=(place.lock,),
            start_new_session=True,
            user=identity.user,
            group=identity.group,
            extra_groups=[] if identity.switch_user else None,
            umask=0o077,
        )
    )


async def run(place: Place, *arguments: str | Path, said: str = "", timeout: float) -> tuple[int, str]:
    """Runs a program of PostgreSQL to its end, with the few lines of `said` on its standard input.

    Returns its exit code and all it printed. It is killed when the time is over
    (`TimeoutError`) or the caller is cancelled.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
        source.write(said.encode())
        source.seek(0)
        child = start(place, *arguments, source=source, output=output)
        try:
            if not await child.wait(timeout):
                raise TimeoutError(f"{arguments[0]} took more than {timeout:g} seconds")
        finally:
            child.signal(signal.SIGKILL)
        output.seek(0)
        return child.returncode or 0, output.read().decode(errors="replace")

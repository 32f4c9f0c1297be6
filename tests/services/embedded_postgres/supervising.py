"""Starting and watching real processes: supervisors in a process of their own, and what they leave."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from interplay.adapters.postgres.embedded import postmaster

_PROGRAM = Path(__file__).with_name("supervisor.py")
_GONE_SECONDS = 30
AWAY = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)


@dataclass
class Supervisor:
    """One started `supervisor.py` and what it said."""

    process: asyncio.subprocess.Process
    said: dict[str, Any]

    @property
    def pid(self) -> int:
        return self.process.pid

    async def stop(self) -> None:
        """Asks for a clean stop and waits for it."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


async def spawn(
    directory: Path, prefix: Sequence[str] = (), binaries: Path | None = None
) -> asyncio.subprocess.Process:
    """Starts a supervisor behind the commands of `prefix`, without waiting for anything."""
    return await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        str(_PROGRAM),
        str(directory),
        *([str(binaries)] if binaries else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def supervised(
    directory: Path, prefix: Sequence[str] = (), binaries: Path | None = None
) -> AsyncIterator[Supervisor]:
    """A supervisor that has said that it is up, or why not; ended at the end, however the test went."""
    process = await spawn(directory, prefix, binaries)
    try:
        yield Supervisor(process, await heard(process))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def heard(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The line that a supervisor says once."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    assert line, f"the supervisor ended without a word, exit code {await process.wait()}"
    said: dict[str, Any] = json.loads(line)
    return said


def postgres_processes(directory: Path) -> list[psutil.Process]:
    """All processes of PostgreSQL that work on the database of this directory."""
    found = []
    for pid in postmaster.processes_in(directory / "data"):
        try:
            found.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return found


async def all_end(processes: list[psutil.Process]) -> bool:
    """Waits until none of them runs any more, for half a minute at most."""
    return await becomes_true(lambda: not any(lives(process) for process in processes))


async def becomes_true(condition: Callable[[], bool]) -> bool:
    """Whether this comes true within half a minute: for what no event tells, such as the end of a stranger."""
    for _ in range(_GONE_SECONDS * 100):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


def lives(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and waits to be reaped does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def value(url: str, query: str) -> Any:
    """The one value of a query, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def write(url: str, number: int) -> None:
    """Commits one row into the table `kept`."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
        await connection.execute("INSERT INTO kept VALUES ($1)", number)
    finally:
        await connection.close()


async def kept(url: str) -> list[int]:
    """The committed rows of `kept`, in order."""
    numbers: list[int] = await value(url, "SELECT array_agg(number ORDER BY number) FROM kept")
    return numbers


async def kept_once_back(url: str) -> list[int]:
    """The rows of `kept`, asked as a client would: again until the server is back."""
    async with asyncio.timeout(_GONE_SECONDS):
        while True:
            try:
                return await kept(url)
            except AWAY:
                await asyncio.sleep(0.01)


def mode(path: Path) -> int:
    return os.stat(path).st_mode & 0o777

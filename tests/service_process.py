"""One `interplay serve …` as a process of its own: what it said, where it answers, and how it ended."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

WITHIN = 60.0  # seconds


class ServiceProcess:
    """Read until it ends."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.said: list[str] = []
        self._reading = asyncio.create_task(self._read())
        self._more = asyncio.Event()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode())
            self._more.set()
        self._more.set()

    async def until_said(self, pattern: str) -> re.Match[str]:
        async with asyncio.timeout(WITHIN):
            while not (found := re.search(pattern, "".join(self.said))):
                assert not self._reading.done(), f"{self.name} ended:\n{''.join(self.said)}"
                self._more.clear()
                await self._more.wait()
        return found

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            code = await self.process.wait()
            await self._reading
        return code

    async def client(self) -> httpx.AsyncClient:
        found = await self.until_said(r"listens .*?url=(\S+)")
        return httpx.AsyncClient(base_url=found[1], trust_env=False, timeout=15)


@asynccontextmanager
async def service(name: str, home: Path, *arguments: str, **settings: str) -> AsyncIterator[ServiceProcess]:
    """Killed at the end when it did not end before."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("INTERPLAY_")}
    environment = {**kept, "INTERPLAY_HOME": str(home), "INTERPLAY_PORT": "0", **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interplay.cli", "serve", name, *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield ServiceProcess(name, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def readiness(http: httpx.AsyncClient, status: str) -> dict[str, Any]:
    """The first answer of `/readyz` that says so."""
    async with asyncio.timeout(WITHIN):
        while (answer := await http.get("/readyz")).json()["status"] != status:
            await asyncio.sleep(0.05)
    assert (answer.status_code == 503) == (status == "not ready")
    found: dict[str, Any] = answer.json()
    return found

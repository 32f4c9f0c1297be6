"""Processes of a peer: started with a log, waited for, and ended by their own id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.peers.peer import NotHad


class Service:
    """A server of a peer, in a process group of its own."""

    def __init__(self, command: Sequence[str], folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.name = Path(command[0]).name
        self._log = folder / f"{self.name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **(settings or {})},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    async def listening(self, port: int, within: float) -> None:
        """Returns when something accepts connections on the port. Raises `NotHad` with the end of the log."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
        self.refuse(f"did not listen on its port within {within:g} seconds")

    async def says(self, part: str, within: float) -> str:
        """The line of its log that holds this. Raises `NotHad`."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self._log.read_text(errors="replace").splitlines():
                if part in line:
                    return line
            await asyncio.sleep(0.1)
        self.refuse(f"did not say {part!r} within {within:g} seconds")
        raise AssertionError("unreachable")

    def refuse(self, reason: str) -> None:
        said = " / ".join(self._log.read_text(errors="replace").strip().splitlines()[-4:])
        raise NotHad(f"{self.name} {reason}; the end of its log: {said[-600:]}")

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, 20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)


def run_once(command: Sequence[str], settings: Mapping[str, str]) -> None:
    """Runs a command of a peer to its end, such as one that makes its tables."""
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise NotHad(f"`{Path(command[0]).name} {command[1]}` failed: {(done.stderr or done.stdout)[-400:]}")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now: below those the kernel lends, and fit for 16 bits with a sign."""
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 1_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise NotHad("there are not enough free ports on this machine")

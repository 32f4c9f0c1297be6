"""The model server as a child process: started at first need, started again when it dies, gone with us.

The child holds the reading end of a pipe; when we die, however that happens, it reads the end and exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, Final

import httpx

from interplay.core.errors import Unavailable

_READY_WITHIN: Final = 30.0  # seconds
_STOP_WITHIN: Final = 5.0
_PAUSE: Final = 0.05


class ModelServerChild:
    """`ensure_started` gives the base URL of a server that answers."""

    def __init__(
        self, directory: Path, idle_seconds: float = 300.0, log: Path | None = None, stop_within: float = _STOP_WITHIN
    ) -> None:
        self._directory = directory
        self._idle = idle_seconds
        self._log = log or directory.parent / "logs" / "model-server.log"
        self._stop_within = stop_within
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._url = ""
        self._lock = asyncio.Lock()
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def ensure_started(self) -> str:
        async with self._lock:
            if self.pid is None:
                await self._start()
            return self._url

    async def _start(self) -> None:
        self._release()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        reading, self._lifeline = os.pipe()
        command = [sys.executable, "-m", "interplay.services.model_server", str(port), str(self._directory)]
        command += [str(self._idle), str(reading)]
        with self._log.open("ab") as log:
            self._process = _spawn(command, reading, log)
        os.close(reading)
        self._url = f"http://127.0.0.1:{port}"
        self.starts += 1
        await self._ready()

    async def _ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_WITHIN
        async with httpx.AsyncClient(trust_env=False, timeout=1.0) as client:
            while asyncio.get_running_loop().time() < deadline:
                if self.pid is None:
                    break
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"{self._url}/healthz")).status_code == 200:
                        return
                await asyncio.sleep(_PAUSE)
        raise Unavailable(
            "The model server did not start.", where=str(self._log), advice="Its log says why; it is tried again."
        )

    async def stop(self) -> None:
        """Asks it to end, and ends one that is deaf."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, self._stop_within)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait)
        self._release()

    def _release(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def _spawn(command: list[str], reading: int, log: IO[Any]) -> subprocess.Popen[bytes]:
    """A session of its own, so that Ctrl-C reaches only us and we stop it in order."""
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(reading,), start_new_session=True
    )

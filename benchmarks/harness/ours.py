"""Our own processes, started as a user starts them, in a home of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

INTERPLAY = [sys.executable, "-m", "interplay.cli"]


class Ours:
    """A running `interplay up`, and workers beside it."""

    def __init__(self, home: Path, *arguments: str, **settings: str) -> None:
        self.home = home
        self.processes: list[subprocess.Popen[bytes]] = []
        self._log = home / "bench.log"
        began = time.perf_counter()
        self.main = self.start("up", "--port", "0", *arguments, **settings)
        self.url, self.key = self._ready()
        self.ready_seconds = time.perf_counter() - began

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "INTERPLAY_HOME": str(self.home), **settings}
        with self._log.open("ab") as log:
            process = subprocess.Popen([*INTERPLAY, *arguments], env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def _ready(self, within: float = 60.0) -> tuple[str, str]:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline and self.main.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                found = json.loads((self.home / "server.json").read_text())
                if found["pid"] == self.main.pid:
                    return found["url"], (self.home / "token").read_text().strip()
            time.sleep(0.01)
        sys.exit(f"the server did not start:\n{self._log.read_text()[-2000:]}")

    def memory(self) -> float:
        """MB of all processes of ours, PostgreSQL included, shared pages counted once (PSS)."""
        return family_memory(self.main.pid)

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def family_memory(pid: int) -> float:
    """MB of a process and its children, shared pages counted once (PSS)."""
    return sum(_pss(one) for one in _family(pid)) / 1024


def cpu_seconds(pid: int | None) -> float:
    """Processor time of a process and its children so far."""
    total = 0.0
    for one in _family(pid) if pid is not None else ():
        with contextlib.suppress(OSError, ValueError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            found += _family(int(child))
    return found


def _pss(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    return 0.0


@contextlib.contextmanager
def ours(*arguments: str, **settings: str) -> Iterator[Ours]:
    """`settings`: environment variables of it."""
    with tempfile.TemporaryDirectory(prefix="interplay-bench-") as folder:
        running = Ours(Path(folder), *arguments, **settings)
        try:
            yield running
        finally:
            running.stop()

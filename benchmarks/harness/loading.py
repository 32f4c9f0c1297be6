"""The load generator and the upstream of the gateway's scenarios: a Go program, built once, on a core of its own."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.ours import cpu_seconds
from benchmarks.harness.result import ROOT
from benchmarks.peers.peer import NotHad

SOURCE = Path(__file__).parent / "load"
_CORES = os.cpu_count() or 1


def pinned(core: int) -> list[str]:
    """The beginning of a command that runs on this core only, where there are two."""
    return ["taskset", "-c", str(core)] if _CORES > 1 and shutil.which("taskset") else []


def build() -> Path:
    """The program, built anew when its source has changed. Raises NotHad without a Go toolchain."""
    sources = sorted(SOURCE.glob("*.go"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    program = ROOT / ".cache" / "load" / digest / "load"
    if program.exists():
        return program
    if shutil.which("go") is None:
        raise NotHad("the load generator needs the command `go`, which is not on this machine")
    settings = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(
        ["go", "build", "-o", str(program), "."], cwd=SOURCE, env=settings, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotHad(f"the load generator was not built: {done.stderr[-600:]}")
    return program


@dataclass(frozen=True)
class Aim:
    """Whom to load: `address` is host and port, `pid` the process whose time is counted."""

    address: str
    path: str = "/v1/chat/completions"
    key: str = "none"
    model: str = "bench"
    pid: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, body: Mapping[str, Any]) -> bytes:
        raw = json.dumps({"model": self.model, **body}, separators=(",", ":")).encode()
        head = {
            "host": self.address,
            "authorization": f"Bearer {self.key}",
            "content-type": "application/json",
            **self.headers,
            "content-length": str(len(raw)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        return f"POST {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + raw


@dataclass(frozen=True)
class Round:
    """Times in milliseconds. `micros`: processor time of the system for each answer, which says more than its rate
    where others use the machine too; `foreign`: the cores that others used meanwhile. `left`: streams that their caller
    left on purpose; `unfinished`: those that were under way when the time was up, of which what came counts."""

    rate: float
    p50: float
    p99: float
    bad: int
    events: int
    first50: float
    event50: float
    event99: float
    why: str
    micros: float
    foreign: float
    left: int = 0
    unfinished: int = 0


class Load:
    def __init__(self, program: Path, upstream: int | None = None) -> None:
        """`upstream`: its process."""
        self._program = program
        self._upstream = upstream

    async def round(
        self, aim: Aim, mode: str, connections: int, seconds: float, body: Mapping[str, Any], *, leave: int = 0
    ) -> Round:
        """`mode`: `whole` or `stream`; `leave`: every so manieth stream is left in its middle. Streams that began are
        waited for until twice the time is over. Raises NotHad when nothing was answered, or the generator hangs."""
        most = max(2 * seconds, seconds + 2.0)
        with tempfile.NamedTemporaryFile(prefix="request-") as file:
            file.write(aim.request(body))
            file.flush()
            command = [*pinned(1), str(self._program), mode, aim.address, str(connections), f"{seconds:g}", file.name]
            if mode == "stream":
                command += [f"{most:g}", str(leave)]
            before, began = self._spent(aim), time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *command,
                env={**os.environ, "GOMAXPROCS": "1"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(most + 10):
                    out, err = await process.communicate()
            except TimeoutError:
                raise NotHad(f"{aim.address} was still answering {most + 10:g} seconds after it was asked") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            spent = [after - was for after, was in zip(self._spent(aim), before, strict=True)]
        if process.returncode:
            raise NotHad(f"{aim.address} could not be loaded: {err.decode(errors='replace')[-400:]}")
        found = json.loads(out)
        if not found["done"]:
            raise NotHad(f"{aim.address} answered nothing right: {found.get('why', '')[:400]}")
        return Round(
            found["rate"],
            found["p50"],
            found["p99"],
            found["bad"],
            found.get("events", 0),
            found.get("first50", 0.0),
            found.get("event50", 0.0),
            found.get("event99", 0.0),
            found.get("why", ""),
            spent[0] / found["done"] * 1e6,
            max(0.0, spent[2] - spent[1] - spent[0]) / (time.monotonic() - began),
            found.get("left", 0),
            found.get("unfinished", 0),
        )

    def _spent(self, aim: Aim) -> tuple[float, float, float]:
        """Seconds of processor time of the system, of load and upstream, and of the whole machine."""
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = children.ru_utime + children.ru_stime + cpu_seconds(self._upstream)
        return cpu_seconds(aim.pid), own, _busy()


@contextlib.asynccontextmanager
async def upstream(program: Path, port: int) -> AsyncIterator[tuple[str, int]]:
    """A chat model that answers at once, on the core of the load; its address and its process."""
    address = f"127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(*pinned(1), str(program), "upstream", address)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
        yield address, process.pid
    finally:
        process.terminate()
        await process.wait()


async def rests(pid: int | None, most: float = 5.0) -> None:
    """Returns when the process does no more work: what it still does for a round is not taken from the next one's."""
    deadline = time.monotonic() + most
    while pid is not None and time.monotonic() < deadline:
        before = cpu_seconds(pid)
        await asyncio.sleep(0.1)
        if cpu_seconds(pid) - before < 0.02:
            return


async def upstream_counts(address: str) -> tuple[int, int]:
    """Connections that are open to it, and calls under way."""
    reader, writer = await asyncio.open_connection(*address.split(":"))
    writer.write(b"GET /counts HTTP/1.1\r\nhost: upstream\r\n\r\n")
    told = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    writer.close()
    return told["open"], told["calls"]


def _busy() -> float:
    """Seconds of processor time that the whole machine has used."""
    with contextlib.suppress(OSError, ValueError):
        fields = [int(text) for text in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / os.sysconf("SC_CLK_TCK")
    return 0.0

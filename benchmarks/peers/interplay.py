"""Ourselves, measured by the same harness as the peers: `interplay up` as a user starts it."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from benchmarks.harness.caller import Caller
from benchmarks.harness.flows import CHAIN, THREE
from benchmarks.harness.ours import Ours
from benchmarks.peers.closed_loop import Target, closed_loop
from benchmarks.peers.peer import Measured, NotHad, Place, Work
from benchmarks.scenarios.engine import STEPS, queued, speed
from interplay.client import AsyncClient

WORKERS, CAPACITY = 2, "32"  # 64 at once; two processes for two cores, as the Python peers have them


class InterplayEngine:
    """Many at once: a queued batch on two workers. One alone: over HTTP, on a machine of its own."""

    name = "interplay"
    versions: Mapping[str, str] = {"interplay": metadata.version("interplay")}

    def __init__(self, host: Ours, runs: int) -> None:
        """`host` runs without a worker; `runs` is the size of a round's batch."""
        self._host, self._runs = host, runs
        self._numbers = itertools.count()

    def install(self) -> None:
        """It runs us."""

    async def start(self, place: Place) -> None:
        self._alone = InterplayFlow(CHAIN, "chain", STEPS)
        await self._alone.start(place)
        async with AsyncClient(self._host.url, self._host.key) as client:
            await client.flows.put("chain", CHAIN)
            await self._batch(client, 1_000)

    async def round(self, work: Work) -> Measured:
        if work.at_once == 1:
            return await self._alone.round(work)
        async with AsyncClient(self._host.url, self._host.key) as client:
            return Measured(await self._batch(client, self._runs) / STEPS, ())

    async def _batch(self, client: AsyncClient, runs: int) -> float:
        batch = await queued(client, f"round-{next(self._numbers)}", runs)
        workers = [await asyncio.to_thread(self._worker) for _ in range(WORKERS)]
        measuring = asyncio.create_task(speed(client, batch, runs))
        try:
            while all(worker.poll() is None for worker in workers):
                if (await asyncio.wait([measuring], timeout=1.0))[0]:
                    return measuring.result()
            raise NotHad(f"a worker ended early; see {self._host.home / 'bench.log'}")
        finally:
            measuring.cancel()
            for worker in workers:
                worker.terminate()
            for worker in workers:
                await asyncio.to_thread(worker.wait)

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._host.start("serve", "worker", INTERPLAY_WORKER_CAPACITY=CAPACITY)

    async def stop(self) -> None:
        await self._alone.stop()


class InterplayFlow:
    """A flow over HTTP, the result in the answer, on a machine of its own."""

    name = "interplay"
    versions: Mapping[str, str] = InterplayEngine.versions

    def __init__(self, source: str = THREE, flow: str = "three", adds: int = 3) -> None:
        self._source, self._flow, self._adds = source, flow, adds
        self._numbers = itertools.count()
        self._machine: Ours | None = None

    def install(self) -> None:
        """It runs us."""

    async def start(self, place: Place) -> None:
        home = Path(place.folder) / "home"
        home.mkdir()
        self._machine = await asyncio.to_thread(Ours, home)
        async with AsyncClient(self._machine.url, self._machine.key) as client:
            await client.flows.put(self._flow, self._source)

    async def round(self, work: Work) -> Measured:
        assert self._machine is not None
        return await closed_loop(Target(self._machine.url, self._machine.key), work, self._run)

    async def _run(self, caller: Caller) -> None:
        x = next(self._numbers)
        view = await caller.post("/api/v1/runs?wait=10", {"flow": self._flow, "inputs": {"x": x}})
        if view["output"] != x + self._adds:
            raise AssertionError(f"wrong output: {view}")

    async def stop(self) -> None:
        if self._machine is not None:
            await asyncio.to_thread(self._machine.stop)

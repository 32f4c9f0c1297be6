"""Workers as real processes over a database of the test's own, and runs to give them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.postgres.blob_store import PostgresBlobStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.flow_store import PostgresFlowStore
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schema import migrate
from interplay.core.ids import uuid7
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.runs.status import RunStatus
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.read_history import ReadHistory
from interplay.use_cases.replay_run import ReplayRun
from interplay.use_cases.save_flow import FlowSource, SaveFlow
from interplay.use_cases.submit_run import RunRequest, SubmitRun
from tests.faults.history import calls_after_cancel, calls_at_once, calls_of, calls_without_owner, keep_history
from tests.faults.invariants import HEARS, violations
from tests.provider_server import ProviderServer, provider_server

LEASE = 0.8  # seconds
FROZEN = 3 * LEASE  # the longest that a fault lets a worker stand still


def new_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


class Bench:
    """A database, workers on it, and a way to start and check runs."""

    def __init__(self, url: str, home: Path) -> None:
        self.url = url
        self.home = home
        self.workers: list[subprocess.Popen[bytes]] = []
        self.lease = LEASE  # the longest of its workers
        self.database = Database(url)
        self.runs = PostgresRunStore(self.database)
        flows = PostgresFlowStore(self.database)
        plans = self._plans = PlanLoader(flows)
        self._blobs = PostgresBlobStore(self.database)
        self._models = PostgresModelRegistry(self.database)
        self._save = SaveFlow(flows, self._models, plans)
        self._submit = SubmitRun(self.runs, flows, plans, MemoryEventBus(), new_id)
        self.created: list[UUID] = []

    async def open(self) -> None:
        await migrate(self.url)
        await keep_history(self.url)
        await Maintenance(self.database).ensure_shelves()

    async def close(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait()
        await self.database.close()

    def worker(self, **settings: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "INTERPLAY_HOME": str(self.home),
            "INTERPLAY_DATABASE_URL": self.url,
            "INTERPLAY_LEASE_SECONDS": str(LEASE),
            "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
            "INTERPLAY_TAKEOVER_BUDGET": "100",
            **settings,
        }
        self.lease = max(self.lease, float(environment["INTERPLAY_LEASE_SECONDS"]))
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "interplay.cli", "serve", "worker"], env=environment, stdout=log, stderr=log
            )
        self.workers.append(process)
        return process

    async def start(self, flow: str, count: int, **inputs: Any) -> list[UUID]:
        saved = await self._save.save(1, FlowSource(flow))
        requests = [RunRequest(saved.name, {**inputs, "n": i}, version=saved.version) for i in range(count)]
        made = [entry.run_id for entry in await self._submit.run(1, requests)]
        self.created += made
        return made

    async def scripted_model(self, url: str) -> None:
        """The chat model `scripted`: the provider of the test."""
        await self._models.put_connection(1, Connection("scripted", base_url=url))
        await self._models.put_model(1, Model("scripted", "chat", (Deployment("scripted", "m"),)))

    async def counts(self) -> dict[str, int]:
        found: dict[str, int] = (await self.runs.statistics())["runs"]
        return found

    async def until(self, status: str, count: int, within: float = 60.0) -> None:
        """Returns once at least `count` runs are there."""
        async with asyncio.timeout(within):
            while (await self.counts()).get(status, 0) < count:
                await asyncio.sleep(0.05)

    async def until_ended(self, within: float = 90.0) -> dict[str, int]:
        """Returns when nothing is queued, running or waiting; says what is stuck otherwise."""
        deadline = time.monotonic() + within
        while True:
            counts = await self.counts()
            if not any(counts.get(name) for name in ("queued", "running", "waiting")):
                return counts
            if time.monotonic() > deadline:
                log = (self.home / "workers.log").read_text()[-3000:]
                raise AssertionError(f"not all runs ended: {counts}; {await violations(self.url, self.lease)}\n{log}")
            await asyncio.sleep(0.1)

    async def check(self, provider: ProviderServer | None = None) -> None:
        """Every invariant that the ledger shows, that no acknowledged run is gone, and that each ended as it would
        have without any fault (I7): folded anew from its tape, it comes to the same output.

        `provider`: whom the runs called; no more often than attempts and claims explain (I5), by nobody who had lost
        the run for long (I6), and not long after a cancel (I9).
        """
        assert await violations(self.url, self.lease) == {}
        if provider is not None:
            calls, bound = calls_of(provider.ledger), self.lease + FROZEN + HEARS
            assert await calls_without_owner(self.url, calls, bound) == []
            assert calls_at_once(calls, bound) == []
            assert await calls_after_cancel(self.url, calls, bound) == []
        replays = ReplayRun(self.runs, ReadHistory(self.runs, self._blobs, self._plans))
        for run_id in self.created:
            record = await self.runs.get(1, run_id)
            assert record.status in (RunStatus.SUCCEEDED, RunStatus.CANCELLED)
            assert record.status is RunStatus.SUCCEEDED or record.cancel_requested, "nobody cancelled it"
            if record.status is RunStatus.SUCCEEDED:
                report = await replays.run(1, run_id)
                assert report.equal, report.differences
            if provider is not None:
                await self._calls_explained(provider, run_id)

    async def _calls_explained(self, provider: ProviderServer, run_id: UUID) -> None:
        async with self.database.session() as connection:
            fence = await connection.fetchval("select fence from run where run_id = $1", run_id)
        attempts: dict[str, int] = {}
        for event in await self.runs.events(1, run_id):
            if event.step_key is not None:
                attempts[event.step_key] = max(attempts.get(event.step_key, 1), event.attempt)
        for key, most in attempts.items():
            made = len(provider.calls(f"{run_id}:{key}"))
            assert made <= most + fence - 1, f"{key} was called {made} times: {most} attempts, {fence} claims"


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(database_url, tmp_path / "home")
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running

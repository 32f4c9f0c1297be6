"""Limits, budgets and usage records while processes are killed and the database is away.

What is promised: requests ≤ limit + a slice, money ≤ cap + a slice, and of usage records nothing is lost but what a
killed process had not written yet.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interplay.adapters.files.usage_spill import FileUsageSpill
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.postgres.allowance_store import PostgresAllowanceStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.usage_store import PostgresUsageStore
from interplay.core.tenancy.limits import MICROS
from interplay.core.tenancy.slices import slice_of
from interplay.use_cases.write_usage import UsageWriter
from tests.faults.admitting import CAP, KEYS, REQUESTS
from tests.faults.conftest import new_id
from tests.faults.tcp_proxy import TcpProxy, proxied

pytestmark = pytest.mark.timeout(120)
CLIENTS = 64
BUDGET = round(CAP * MICROS)
METER = f"usd:key:{KEYS['paying']}:total"


@dataclass(frozen=True)
class Call:
    """One line of what really happened."""

    name: str
    starts: int
    micros: int
    record_id: str
    at: float
    process: str


class Processes:
    """Three at a time, with 64 clients in all."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.database = Database(url)
        self.allowances = PostgresAllowanceStore(self.database)
        self.usage = PostgresUsageStore(self.database)
        self.running: list[subprocess.Popen[bytes]] = []
        self.killed_at: list[float] = []

    def start(self, clients: int, url: str | None = None) -> None:
        command = [sys.executable, "-m", "tests.faults.admitting", url or self.url, str(self.folder), str(clients)]
        self.running.append(subprocess.Popen(command))

    def kill(self, place: int) -> None:
        process = self.running.pop(place)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.killed_at.append(time.time())

    def calls(self) -> list[Call]:
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        parts = [line.split() for line in lines]
        return [Call(p[0], int(p[1]), int(p[2]), p[3], float(p[4]), p[5]) for p in parts]

    def spent(self) -> int:
        return sum(call.micros for call in self.calls() if call.name == "paying")

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.calls()) < count:
                await asyncio.sleep(0.05)

    async def known_to_each_other(self) -> None:
        """Each has heard of the store after all were there: before that one may think that it is alone."""
        since = None
        async with self.database.session() as connection, asyncio.timeout(60):
            while True:
                heard = await connection.fetch("select heard_at from allowance_process")
                if since is None and len(heard) == len(self.running):
                    since = await connection.fetchval("select clock_timestamp()")
                elif since is not None and all(row["heard_at"] > since for row in heard):
                    return
                await asyncio.sleep(0.1)

    async def still(self) -> None:
        """Until nobody gets a paid call through any more."""
        before = -1
        async with asyncio.timeout(60):
            while (now := self.spent()) != before:
                before = now
                await asyncio.sleep(1.0)

    async def recorded(self) -> set[str]:
        async with self.database.session() as connection:
            rows = await connection.fetch("select record_id::text as id from usage_record")
        return {row["id"] for row in rows}

    async def close(self) -> None:
        while self.running:
            self.kill(0)
        await self.database.close()


@pytest.fixture
async def processes(database_url: str, tmp_path: Path) -> AsyncIterator[Processes]:
    await migrate(database_url)
    made = Processes(database_url, tmp_path)
    yield made
    await made.close()


def over_limit(calls: list[Call]) -> dict[int, int]:
    counts = Counter(call.starts for call in calls if call.name == "limited")
    return {starts: count for starts, count in counts.items() if count > REQUESTS + slice_of(REQUESTS)}


class TestKills:
    async def test_limits_and_budgets_hold_through_kills(self, processes: Processes) -> None:
        for clients in (22, 21, 21):
            processes.start(clients)
        chance = random.Random(7)
        for round_ in range(4):
            await processes.until(200 * (round_ + 1))
            await asyncio.sleep(chance.uniform(0.0, 0.5))
            processes.kill(chance.randrange(3))
            processes.start(21)
        await processes.still()
        assert processes.spent() <= BUDGET, "without a settlement nothing of a killed process comes back"
        assert over_limit(processes.calls()) == {}

        settled = await processes.allowances.reconcile(0.0)
        assert settled > 0
        await processes.still()
        assert processes.spent() <= BUDGET + slice_of(BUDGET) * len(processes.killed_at)
        assert processes.spent() >= BUDGET * 0.8, "what killed processes had not spent can be spent"

    async def test_a_killed_process_loses_only_what_it_had_not_written(self, processes: Processes) -> None:
        for _ in range(3):
            processes.start(20)
            await processes.until(len(processes.calls()) + 250)
            processes.kill(0)
        calls, recorded = processes.calls(), await processes.recorded()
        lost = [call for call in calls if call.record_id not in recorded]
        for process, killed_at in zip(dict.fromkeys(call.process for call in calls), processes.killed_at, strict=True):
            ages = [killed_at - call.at for call in lost if call.process == process]
            assert all(age < 1.5 for age in ages), ages  # 0.2 s, and a write on a busy machine
        assert len(recorded) >= 3 * 100


class TestDatabaseAway:
    @pytest.fixture
    async def away(self, processes: Processes) -> AsyncIterator[tuple[TcpProxy, str]]:
        async with proxied(processes.url) as (proxy, url):
            yield proxy, url

    async def test_calls_go_on_within_the_limit_and_no_record_is_lost(
        self, processes: Processes, away: tuple[TcpProxy, str]
    ) -> None:
        proxy, url = away
        for _ in range(2):
            processes.start(8, url)
        await processes.until(100)
        await processes.known_to_each_other()
        proxy.open.clear()
        await asyncio.sleep(0.2)
        before = len(processes.calls())
        await processes.until(before + 50)  # nobody waits for it
        await asyncio.sleep(6.0)  # longer than a write may take: records are set aside
        proxy.open.set()
        await processes.still()
        assert processes.spent() <= BUDGET + slice_of(BUDGET)
        assert over_limit(processes.calls()) == {}
        async with asyncio.timeout(30):
            while {call.record_id for call in processes.calls()} - await processes.recorded():
                await asyncio.sleep(0.2)

    async def test_what_a_killed_process_had_set_aside_is_read_by_the_next(
        self, processes: Processes, away: tuple[TcpProxy, str]
    ) -> None:
        proxy, url = away
        processes.start(8, url)
        await processes.until(50)
        proxy.open.clear()
        spill = processes.folder / "spill"
        async with asyncio.timeout(30):
            while not any(spill.glob("usage-*.bin")):
                await asyncio.sleep(0.1)
        aside = len(processes.calls())
        await asyncio.sleep(1.5)
        processes.kill(0)
        writer = UsageWriter(processes.usage, FileUsageSpill(spill), SystemClock(), new_id())
        task = asyncio.create_task(writer.run())
        known = {call.record_id for call in processes.calls()[: aside // 2]}
        async with asyncio.timeout(30):
            while known - await processes.recorded() or any(os.scandir(spill)):
                await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert known
        assert known <= await processes.recorded()

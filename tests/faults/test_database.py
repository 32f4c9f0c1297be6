"""The database goes away and comes back (faults 5, 6), and values and runs get large (19)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import httpx
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import run_machine
from interplay.settings import load_settings
from tests.faults.conftest import LEASE, Bench
from tests.faults.invariants import violations
from tests.faults.test_kills import CALLS, CHAIN
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.timeout(240)
WIDE = """
flow: wide
max_steps: 30000
inputs: {n: integer, xs: {type: list, items: integer}}
steps:
  all:
    map:
      over: $inputs.xs
      as: x
      concurrency: 500
      steps: {double: {set: {v: "${ x * 2 }"}}}
      output: $double.v
output: "${ size(all.items) }"
"""


class TestDatabaseAway:
    async def test_a_killed_postgresql_costs_time_and_no_run(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        url = await postgres.start()
        bench = Bench(url, tmp_path / "home")
        await bench.open()
        bench.worker()
        for _ in range(3):
            await bench.start(CHAIN, 200)
            assert postgres.pid is not None
            os.kill(postgres.pid, signal.SIGKILL)
            await self._answers(url)
        await bench.until_ended()
        await bench.check()
        await bench.close()
        await postgres.stop()

    async def test_blips_under_a_slow_step_repeat_no_call_and_charge_nobody(
        self, tmp_path: Path, provider: ProviderServer
    ) -> None:
        """A budget of no takeover at all: a single one would be the end of the run."""
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        url = await postgres.start()
        bench = Bench(url, tmp_path / "home")
        await bench.open()
        bench.worker(INTERPLAY_LEASE_SECONDS="10", INTERPLAY_TAKEOVER_BUDGET="0")
        provider.play({"delay": 8.0}, {})
        slow = await bench.start(CALLS, 1, url=provider.url)
        async with asyncio.timeout(30):
            while not provider.calls():
                await asyncio.sleep(0.02)
        for _ in range(3):
            assert postgres.pid is not None
            os.kill(postgres.pid, signal.SIGKILL)
            await self._answers(url)
            await bench.start(CHAIN, 20)
        await bench.until_ended()
        await bench.check()
        assert all([(await bench.runs.get(1, run)).takeovers == 0 for run in bench.created])
        assert sorted(call["key"] for call in provider.calls()) == [f"{slow[0]}:a", f"{slow[0]}:c"]
        await bench.close()
        await postgres.stop()

    async def test_an_outage_longer_than_the_lease_charges_nobody(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        url = await postgres.start()
        bench = Bench(url, tmp_path / "home")
        await bench.open()
        for _ in range(2):
            bench.worker(INTERPLAY_TAKEOVER_BUDGET="0")
        for _ in range(2):
            await bench.start(CHAIN, 200)
            await bench.until("succeeded", 5)
            await postgres.stop()
            await asyncio.sleep(3 * LEASE)
            await postgres.start()
        await bench.until_ended()
        await bench.check()
        assert all([(await bench.runs.get(1, run)).takeovers == 0 for run in bench.created])
        await bench.close()
        await postgres.stop()

    async def _answers(self, url: str) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    await (await asyncpg.connect(url, timeout=2)).close()
                    return
                except (OSError, asyncpg.PostgresError, TimeoutError):
                    await asyncio.sleep(0.1)

    async def test_the_api_says_when_to_come_back(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        url = await postgres.start()
        settings = load_settings(home=tmp_path / "home", database_url=url, port=0, lease_seconds=2.0)
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            await client.flows.put("chain", CHAIN)
            run = (await client.runs.create("chain", {"n": 1}))["run"]
            await postgres.stop()
            headers = {"Authorization": f"Bearer {machine.token}"}
            async with httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False, timeout=30) as http:
                answer = await http.get("/api/v1/runs")
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert (await http.get("/readyz")).status_code == 503
                await postgres.start()
                async with asyncio.timeout(60):
                    while (await http.get("/readyz")).status_code != 200:
                        await asyncio.sleep(0.1)
            async for _ in client.runs.follow(run):
                continue
            assert (await client.runs.get(run))["output"] == 4
        assert await violations(url) == {}
        await postgres.stop()


class TestLarge:
    async def test_a_map_of_ten_thousand_items_ends_and_is_in_order(self, bench: Bench) -> None:
        bench.worker()
        await bench.start(WIDE, 1, xs=list(range(10_000)))
        await bench.until_ended(150)
        await bench.check()

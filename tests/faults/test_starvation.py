"""Too little of something: an event loop that is stuck, a processor that is taken, an old transaction, no
connection left (faults 4, 9, 10, 24); flows that take all the time they can get; and workers replaced in turn
(25)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.adapters.postgres.failpoints import BLOCKED
from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.faults.conftest import LEASE, Bench
from tests.faults.invariants import violations
from tests.faults.test_kills import CALLS, CHAIN
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.timeout(120)


async def takeovers(bench: Bench) -> int:
    return sum([(await bench.runs.get(1, run)).takeovers for run in bench.created])


class TestStuckLoop:
    @pytest.mark.parametrize("point", ["commit-before", "commit-after", "claim-after", "renew-before"])
    async def test_a_worker_that_is_stuck_past_its_lease_does_no_harm_when_it_goes_on(
        self, bench: Bench, point: str
    ) -> None:
        assert BLOCKED > 2 * LEASE
        skip = 2 if point.startswith("commit") else 0
        stuck = bench.worker(INTERPLAY_FAILPOINT=f"{point}:block:{skip}")
        await bench.start(CHAIN, 60)
        async with asyncio.timeout(30):
            while "loop is blocked" not in (bench.home / "workers.log").read_text():
                await asyncio.sleep(0.02)
        bench.worker()
        await bench.until_ended(60)
        assert stuck.poll() is None
        await bench.check()


@pytest.fixture
def taken_processor() -> Iterator[None]:
    """More busy processes than there are cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for process in busy:
        process.kill()
        process.wait()


class TestStarvedProcessor:
    async def test_nobody_is_taken_for_dead_who_is_only_slow(self, bench: Bench, taken_processor: None) -> None:
        for _ in range(2):
            bench.worker(INTERPLAY_LEASE_SECONDS="10")
        await bench.start(CHAIN, 300)
        await bench.until_ended(90)
        assert await takeovers(bench) == 0
        await bench.check()


HOGS = {
    "prompts": """
flow: prompts
inputs: {n: integer, xs: {type: list}, many: {type: list}, text: string}
steps:
  a:
    map:
      over: $inputs.xs
      concurrency: 6
      steps:
        b:
          chat:
            model: scripted
            prompt: "{% for a in inputs.many %}{% for b in inputs.many %}\
              {% set x = inputs.xs | sort | tojson %}{% endfor %}{% endfor %}"
          on_error: continue
      output: 1
output: 1
""",
    "expressions": """
flow: expressions
inputs: {n: integer, xs: {type: list}, many: {type: list}, text: string}
steps:
  a:
    map:
      over: $inputs.xs
      concurrency: 6
      steps:
        b:
          set: {v: "${ inputs.many.filter(m, inputs.text.replace('a', 'b') == '') }"}
          on_error: continue
      output: 1
output: 1
""",
}


class TestTimeTakenByFlows:
    @pytest.mark.parametrize("name", HOGS)
    async def test_nobody_is_taken_for_dead_who_renders_and_computes_all_that_it_may(
        self, bench: Bench, provider: ProviderServer, name: str
    ) -> None:
        await bench.scripted_model(f"{provider.url}/v1")
        bench.worker(INTERPLAY_LEASE_SECONDS="3")
        await bench.start(HOGS[name], 1, xs=list(range(6)), many=list(range(9_000)), text="a" * 20_000)
        await bench.until("running", 1)
        bench.worker(INTERPLAY_LEASE_SECONDS="3")
        await bench.start(CHAIN, 30)
        await bench.until_ended(110)
        assert await takeovers(bench) == 0
        await bench.check()


class TestPinnedHorizon:
    async def test_an_old_transaction_slows_nothing_down_for_long(self, bench: Bench) -> None:
        """What ended runs leave behind cannot be cleaned up while it is open; each window still makes progress."""
        old = await asyncpg.connect(bench.url)
        try:
            await old.execute("begin isolation level repeatable read")
            await old.fetchval("select count(*) from run")
            bench.worker()
            spans = []
            for _ in range(5):
                began = asyncio.get_running_loop().time()
                await bench.start(CHAIN, 400)
                await bench.until_ended(60)
                spans.append(asyncio.get_running_loop().time() - began)
        finally:
            await old.close()
        print(f"seconds a window: {[round(span, 2) for span in spans]}")
        assert spans[-1] < 5 * spans[1] + 2
        await bench.check()


@contextlib.asynccontextmanager
async def no_connection_left(url: str) -> AsyncIterator[None]:
    """Others hold every connection that the server gives."""
    held: list[asyncpg.Connection] = []
    try:
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            while True:
                held.append(await asyncpg.connect(url))
        yield
    finally:
        for connection in held:
            connection.terminate()


async def starved(machine: Machine, url: str, http: httpx.AsyncClient) -> httpx.Response:
    """What a caller is told while the machine holds no connection and gets none."""
    database = machine.platform.database
    async with no_connection_left(url), asyncio.timeout(30):
        while True:
            await database.close()  # its idle ones; others take them before it asks again, or it is tried again
            async with no_connection_left(url):
                if database._pool is None or database._pool.get_size() == 0:
                    return await http.get("/api/v1/runs")


class TestNoConnectionLeft:
    async def test_callers_are_told_and_work_goes_on_afterwards(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        url = await postgres.start()
        settings = load_settings(home=tmp_path / "home", database_url=url, port=0, lease_seconds=2.0)
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            await client.flows.put("chain", CHAIN)
            runs = [(await client.runs.create("chain", {"n": n}))["run"] for n in range(20)]
            headers = {"Authorization": f"Bearer {machine.token}"}
            async with httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False, timeout=30) as http:
                answer = await starved(machine, url, http)
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
            for run in runs:
                async for _ in client.runs.follow(run):
                    continue
        assert await violations(url) == {}
        await postgres.stop()


async def known(bench: Bench, workers: int) -> None:
    """So many have registered."""
    async with asyncio.timeout(60):
        while len((await bench.runs.statistics())["workers"]) < workers:
            await asyncio.sleep(0.05)


class TestRollingRestart:
    async def test_workers_replaced_in_turn_under_load_lose_nothing(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        provider.play({"delay": 0.05})
        workers = [bench.worker() for _ in range(2)]
        for _ in range(4):
            fresh = bench.worker()
            old = workers.pop(0)
            workers.append(fresh)
            await known(bench, 3)  # before that nobody would hear a signal
            done = (await bench.counts()).get("succeeded", 0)
            await bench.start(CALLS, 25, url=provider.url)
            await bench.until("succeeded", done + 5)
            old.terminate()
            assert await asyncio.to_thread(old.wait, 30) == 0
        await bench.until_ended()
        assert await takeovers(bench) == 0, "a drain costs nothing of the budget"
        await bench.check(provider)
        steps = [call["key"] for call in provider.calls()]
        assert len(steps) == len(set(steps)), "a drained worker lets its attempts end"

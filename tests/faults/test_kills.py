"""Workers that are killed, frozen and cut off while they work (faults 1, 2, 3, 5, 7, 30)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter

import asyncpg
import pytest

from interplay.adapters.postgres.failpoints import Failpoint
from tests.faults.conftest import LEASE, Bench
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.timeout(240)

CALLS = """
flow: calls
inputs: {n: integer, url: string}
steps:
  a: {http: {url: $inputs.url, method: POST, body: {n: $inputs.n}}, retry: 20}
  b: {set: {v: "${ inputs.n + 1 }"}}
  c: {http: {url: $inputs.url, method: POST, body: {after: $a.status}}, retry: 20}
  w: {wait: 100ms, after: [b]}
  d: {set: {v: "${ b.v + 1 }"}, after: [c, w]}
output: $d.v
"""
CHAIN = """
flow: chain
inputs: {n: integer}
steps:
  a: {set: {v: "${ inputs.n + 1 }"}}
  b: {set: {v: "${ a.v + 1 }"}}
  w: {wait: 50ms, after: [b]}
  c: {set: {v: "${ b.v + 1 }"}, after: [w]}
output: $c.v
"""
_OTHERS = ("create", "signal", "cancel", "snapshot", "fire", "deliver")
WORKER_POINTS = [p for p in Failpoint if p.value.split("-")[0] not in _OTHERS]


class TestKills:
    async def test_a_kill_in_the_middle_of_a_step_costs_time_and_no_work(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        provider.play({"delay": 0.3})
        first = bench.worker()
        await bench.start(CALLS, 40, url=provider.url)
        await asyncio.sleep(0.1)
        while len(provider.calls()) < 20:
            await asyncio.sleep(0.02)
        first.kill()
        bench.worker()
        await bench.until_ended()
        await bench.check(provider)
        per_step = Counter(call["key"] for call in provider.calls())
        assert max(per_step.values()) <= 2, "an effect happened more than once per takeover"

    @pytest.mark.parametrize("point", WORKER_POINTS, ids=lambda point: point.value)
    async def test_a_kill_at_every_edge_of_the_protocol(self, bench: Bench, point: Failpoint) -> None:
        await bench.start(CHAIN, 30)
        victim = bench.worker(INTERPLAY_FAILPOINT=f"{point.value}:kill:{1 if 'commit' in point.value else 0}")
        if point.value.startswith("reap"):
            await self._somebody_to_reap(bench)
        if point.value.startswith("retire"):
            await bench.until("succeeded", 1)
            victim.terminate()
        async with asyncio.timeout(40):
            while victim.poll() is None:
                await asyncio.sleep(0.05)
        assert victim.returncode == -signal.SIGKILL, "the failpoint was never reached"
        bench.worker()
        await bench.until_ended()
        await bench.check()

    async def _somebody_to_reap(self, bench: Bench) -> None:
        connection = await asyncpg.connect(bench.url)
        await connection.execute(
            "insert into worker(worker_id, pool, capacity, lease_until) values (gen_random_uuid(), 'default', 1, now())"
        )
        await connection.close()

    async def test_frozen_past_its_lease_it_does_no_harm_when_it_wakes(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        provider.play({"delay": 0.2})
        first = bench.worker()
        await bench.start(CALLS, 30, url=provider.url)
        while len(provider.calls()) < 10:
            await asyncio.sleep(0.02)
        os.kill(first.pid, signal.SIGSTOP)
        bench.worker()
        await asyncio.sleep(LEASE * 3)
        os.kill(first.pid, signal.SIGCONT)
        await bench.until_ended()
        await bench.check(provider)

    async def test_it_drains_on_sigterm_at_no_cost_to_the_budget(self, bench: Bench, provider: ProviderServer) -> None:
        provider.play({"delay": 0.5})
        first = bench.worker(INTERPLAY_LEASE_SECONDS="10")  # a drain needs no short one, and none may run out
        await bench.start(CALLS, 20, url=provider.url)
        while len(provider.calls()) < 10:
            await asyncio.sleep(0.02)
        first.terminate()
        assert await asyncio.to_thread(first.wait, 30) == 0
        bench.worker()
        await bench.until_ended()
        await bench.check(provider)
        assert all([(await bench.runs.get(1, run)).takeovers == 0 for run in bench.created])

    async def test_a_run_that_kills_its_workers_is_dead_in_the_end(self, bench: Bench) -> None:
        await bench.start(CHAIN, 1)
        for _ in range(2):
            victim = bench.worker(INTERPLAY_FAILPOINT="commit-before:kill", INTERPLAY_TAKEOVER_BUDGET="1")
            await asyncio.to_thread(victim.wait, 30)
        bench.worker(INTERPLAY_TAKEOVER_BUDGET="1")
        await bench.until("dead", 1)
        assert (await bench.runs.redrive(1, bench.created[0], "test")).takeovers == 0
        await bench.until_ended()
        await bench.check()


class TestChaos:
    @pytest.mark.parametrize("seed", [1, 2])
    async def test_kills_freezes_and_cut_connections_at_random(
        self, bench: Bench, provider: ProviderServer, seed: int
    ) -> None:
        dice = random.Random(seed)
        print(f"seed {seed}")
        provider.play({"delay": 0.02})
        workers = [bench.worker() for _ in range(3)]
        history: list[str] = []
        for _ in range(25):
            await bench.start(CALLS, dice.randrange(1, 6), url=provider.url)
            await asyncio.sleep(dice.uniform(0.05, 0.25))
            place, fault = dice.randrange(3), dice.choice(["kill", "freeze", "cut", "cancel"])
            history.append(f"{fault} {place}")
            if fault == "kill":
                workers[place].kill()
                workers[place].wait()
                workers[place] = bench.worker()
            elif fault == "freeze":
                os.kill(workers[place].pid, signal.SIGSTOP)
                await asyncio.sleep(dice.uniform(0.3, LEASE * 2))
                os.kill(workers[place].pid, signal.SIGCONT)
            elif fault == "cut":
                await self._cut(bench)
            else:
                await bench.runs.cancel(1, dice.choice(bench.created), "chaos")
        print(history)
        await bench.until_ended()
        await bench.check(provider)

    async def _cut(self, bench: Bench) -> None:
        connection = await asyncpg.connect(bench.url)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name like 'interplay-%' and random() < 0.6"
        )
        await connection.close()

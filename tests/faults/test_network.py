"""A network that loses answers, cuts a worker off, or never says that it is gone (faults 8, 14, 15)."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from tests.faults.conftest import LEASE, Bench
from tests.faults.tcp_proxy import proxied
from tests.faults.test_kills import CALLS, CHAIN
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.timeout(120)


class TestLostAnswers:
    @pytest.mark.parametrize("seed", [1, 2])
    async def test_a_commit_whose_answer_is_lost_counts_once(
        self, bench: Bench, provider: ProviderServer, seed: int
    ) -> None:
        """Commits, claims and renewals reach the database; their answers do not come back."""
        dice = random.Random(seed)
        async with proxied(bench.url) as (proxy, url):
            bench.worker(INTERPLAY_DATABASE_URL=url)
            for _ in range(12):
                await bench.start(CALLS, 8, url=provider.url)
                lost = proxy.lost
                proxy.losing = True
                async with asyncio.timeout(20):
                    while proxy.lost == lost:
                        await asyncio.sleep(0.005)
                await asyncio.sleep(dice.uniform(0.0, 0.1))
                proxy.losing = False
            print(f"seed {seed}: {proxy.lost} answers lost")
            await bench.until_ended(60)
        await bench.check(provider)
        steps = Counter(call["key"] for call in provider.calls())
        assert len(steps) == 2 * len(bench.created)


class TestPartition:
    async def test_a_worker_cut_off_past_its_lease_does_no_harm_when_it_is_back(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        provider.play({"delay": 0.2})
        async with proxied(bench.url) as (proxy, url):
            bench.worker(INTERPLAY_DATABASE_URL=url)
            await bench.start(CALLS, 30, url=provider.url)
            while len(provider.calls()) < 15:
                await asyncio.sleep(0.02)
            proxy.open.clear()
            bench.worker()
            async with asyncio.timeout(LEASE * 20):
                while not any([(await bench.runs.get(1, run)).takeovers for run in bench.created]):
                    await asyncio.sleep(0.05)
            proxy.open.set()  # what was held arrives now, under a fence that is over
            await bench.until_ended(60)
        await bench.check(provider)

    async def test_connections_that_never_say_that_they_are_gone_stop_nobody_else(self, bench: Bench) -> None:
        async with proxied(bench.url) as (proxy, url):
            silent = bench.worker(INTERPLAY_DATABASE_URL=url)
            await bench.start(CHAIN, 200)
            await bench.until("succeeded", 5)
            proxy.open.clear()
            bench.worker()
            await bench.until_ended(60)
            assert silent.poll() is None
        await bench.check()

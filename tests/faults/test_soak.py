"""Everything at random for a while, with quiet windows in which progress must be made (I11); what a takeover
takes (I15); and what is accounted beside what the provider was asked (I12)."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import asyncpg
import pytest

from interplay.core.runs.events import EventKind, StepRetrying, StepSucceeded, decode_body
from interplay.core.runs.status import RunStatus
from tests.faults.conftest import LEASE, Bench
from tests.faults.tcp_proxy import TcpProxy, proxied
from tests.faults.test_kills import CALLS, CHAIN
from tests.provider_server import ProviderServer

SECONDS = float(os.environ.get("INTERPLAY_SOAK_SECONDS", "20"))
pytestmark = pytest.mark.timeout(SECONDS * 2 + 120)
CHATS = """
flow: chats
inputs: {n: integer}
steps:
  ask: {chat: {model: scripted, prompt: "Number {{ inputs.n }}"}, retry: {max: 5, backoff: 20ms}}
output: $ask.text
"""


def resident(pid: int) -> float:
    """MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


class Soak:
    """Workers, one of them behind a bad network, and the dice that trouble them."""

    def __init__(self, bench: Bench, proxy: TcpProxy, behind: str, seed: int) -> None:
        self.bench = bench
        self.proxy = proxy
        self.dice = random.Random(seed)
        self.settings = [{}, {}, {"INTERPLAY_DATABASE_URL": behind}]
        self.workers = [bench.worker(**more) for more in self.settings]
        self.history: list[str] = []

    async def trouble(self) -> None:
        place = self.dice.randrange(3)
        fault = self.dice.choice(["kill", "freeze", "cut", "cancel", "lose", "silence", "none"])
        self.history.append(f"{fault} {place}")
        worker = self.workers[place]
        if fault == "kill":
            worker.kill()
            worker.wait()
            self.workers[place] = self.bench.worker(**self.settings[place])
        elif fault == "freeze":
            os.kill(worker.pid, signal.SIGSTOP)
            await asyncio.sleep(self.dice.uniform(0.2, LEASE * 2))
            os.kill(worker.pid, signal.SIGCONT)
        elif fault == "cut":
            connection = await asyncpg.connect(self.bench.url)
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where application_name like 'interplay-%' and random() < 0.5"
            )
            await connection.close()
        elif fault == "cancel" and self.bench.created:
            await self.bench.runs.cancel(1, self.dice.choice(self.bench.created), "chaos")
        elif fault == "lose":
            self.proxy.losing = True
            await asyncio.sleep(self.dice.uniform(0.05, 0.3))
            self.proxy.losing = False
        elif fault == "silence":
            self.proxy.open.clear()
            await asyncio.sleep(self.dice.uniform(0.1, LEASE * 2))
            self.proxy.open.set()

    async def quiet_window(self) -> None:
        """Once the last fault's lease is over, runs end again."""
        ended = await self._ended()
        await self.bench.start(CHAIN, 5)
        async with asyncio.timeout(30):
            while await self._ended() < ended + 5:
                await asyncio.sleep(0.05)

    async def _ended(self) -> int:
        counts = await self.bench.counts()
        return counts.get("succeeded", 0) + counts.get("cancelled", 0)


class TestSoak:
    async def test_faults_at_random_lose_nothing_and_leave_nothing(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        seed = int(os.environ.get("INTERPLAY_SOAK_SEED", time.time_ns() % 100_000))
        provider.play({"delay": 0.02})
        async with proxied(bench.url) as (proxy, behind):
            soak = Soak(bench, proxy, behind, seed)
            await soak.quiet_window()
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                for _ in range(6):
                    await bench.start(CALLS, soak.dice.randrange(1, 6), url=provider.url)
                    await soak.trouble()
                await soak.quiet_window()
            print(f"seed {seed}: {soak.history}")
            (bench.home / "history.txt").write_text(f"seed {seed}\n" + "\n".join(soak.history))
            await bench.until_ended()
            sizes = [resident(worker.pid) for worker in soak.workers]
        await bench.check(provider)
        assert max(sizes) < 250, f"MB of the workers: {sizes}"
        connection = await asyncpg.connect(bench.url)
        await connection.execute("vacuum run")
        await connection.execute("select pg_stat_force_next_flush()")
        dead = await connection.fetchval("select n_dead_tup from pg_stat_user_tables where relname = 'run'")
        left = await connection.fetchval("select (select count(*) from wait) + (select count(*) from slot)")
        await connection.close()
        assert (dead, left) == (0, 0), "ended runs leave nothing behind that cannot be cleaned up"


class TestTakeover:
    async def test_the_first_new_commit_comes_soon_after_the_lease(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        """I15: lease + sweep + 1 s."""
        lease = 3.0
        provider.play({"delay": 0.3})
        # neither has room for all runs, so both hold some
        workers = [
            bench.worker(INTERPLAY_LEASE_SECONDS=str(lease), INTERPLAY_WORKER_CAPACITY=room) for room in ("30", "31")
        ]
        await self._known_for(bench, lease)  # a reaper judges by a lease of its own that held that long
        runs = await bench.start(CALLS, 60, url=provider.url)
        await self._holds_runs(bench, 30)
        killed = time.time()
        workers[0].kill()
        await bench.until_ended()
        await bench.check(provider)
        taken = [run for run in runs if (await bench.runs.get(1, run)).takeovers]
        assert taken
        later = [event.at for run in taken for event in await bench.runs.events(1, run) if event.at > killed + 0.1]
        assert min(later) - killed <= lease + lease / 4 + 1.0

    async def _known_for(self, bench: Bench, seconds: float) -> None:
        async with asyncio.timeout(30):
            while True:
                known = [w["started_at"] for w in (await bench.runs.statistics())["workers"]]
                if len(known) == 2 and time.time() - max(known) > seconds + 0.5:
                    return
                await asyncio.sleep(0.05)

    async def _holds_runs(self, bench: Bench, capacity: int) -> None:
        """The worker with this capacity has some runs in its hands."""
        async with asyncio.timeout(30):
            while not any(w["runs"] for w in (await bench.runs.statistics())["workers"] if w["capacity"] == capacity):
                await asyncio.sleep(0.02)


class TestAccounting:
    async def test_what_is_accounted_is_what_the_provider_was_asked(
        self, bench: Bench, provider: ProviderServer
    ) -> None:
        """I12, with refusals between."""
        await bench.scripted_model(provider.url)
        provider.play(*([{}, {"status": 429}, {}, {"status": 503}] * 10), {})
        bench.worker()
        runs = await bench.start(CHATS, 40)
        await bench.until_ended()
        await bench.check(provider)
        assert all([(await bench.runs.get(1, run)).status is RunStatus.SUCCEEDED for run in runs])
        bodies = [
            decode_body(event.kind, event.body)
            for run in runs
            for event in await bench.runs.events(1, run)
            if event.kind in (EventKind.STEP_SUCCEEDED, EventKind.STEP_RETRYING)
        ]
        answered = [body.usage for body in bodies if isinstance(body, StepSucceeded)]
        refused = [body for body in bodies if isinstance(body, StepRetrying)]
        assert len(provider.calls()) == 60, "forty answers, and the twenty refusals of the script between them"
        assert len(answered) == 40
        assert len(refused) >= 20, "the provider's, and those while the breaker let nothing through"
        assert not any(body.usage for body in refused)
        assert sum(usage.calls for usage in answered if usage) == 40
        assert sum(usage.tokens for usage in answered if usage) == 40 * 12

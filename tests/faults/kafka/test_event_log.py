"""Workers that publish what they commit, and are killed, frozen and cut off from the broker while they do: every event
that is durable comes to the topic, in the order of its run, and none that is not."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.core.topics_of_ours import TOPICS, named
from interplay.use_cases.submit_run import SubmitRun
from tests.faults.conftest import Bench, new_id
from tests.kafka_server import fresh_topic
from tests.topic_log import log_problems, logged_events
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(240)
FLOW = """
flow: chain
inputs: {n: integer}
steps:
  a: {set: {n: "${ inputs.n + 1 }"}}
  pause: {wait: {for: 300ms}, after: [a]}
  b: {set: {n: "${ a.n + 1 }"}, after: [pause]}
  c: {set: {n: "${ b.n + 1 }"}}
output: {n: $c.n}
"""
SECONDS = 12.0


class Publishing(Bench):
    """Workers and a recorder beside a broker of their own."""

    def __init__(self, url: str, home: Path, broker: KafkaBroker, namespace: str) -> None:
        super().__init__(url, home)
        self.broker, self.namespace = broker, namespace
        self.recorders: list[subprocess.Popen[bytes]] = []
        self.runs = PostgresRunStore(self.database, logged=True)
        self._submit = SubmitRun(self.runs, self._submit._flows, self._plans, MemoryEventBus(), new_id)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "INTERPLAY_KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "INTERPLAY_KAFKA_NAMESPACE": self.namespace,
            "INTERPLAY_KAFKA_SESSION_SECONDS": "6",
            "INTERPLAY_PORT": "0",
        }

    def recorder(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ, "INTERPLAY_HOME": str(self.home), "INTERPLAY_DATABASE_URL": self.url, **self.settings,
        }  # fmt: skip
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "recorders.log").open("ab") as log:
            command = [sys.executable, "-m", "interplay.cli", "serve", "recorder"]
            self.recorders.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return self.recorders[-1]

    async def until_published(self, within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while True:
            async with self.database.session() as connection:
                behind = await connection.fetchval("select count(*) from run where pub_seq >= 0 and pub_seq <> seq")
            if not behind:
                return
            if time.monotonic() > deadline:
                log = (self.home / "recorders.log").read_text()[-2000:]
                raise AssertionError(f"{behind} runs are not published\n{log}")
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        for recorder in self.recorders:
            if recorder.poll() is None:
                recorder.terminate()
        for recorder in self.recorders:
            await asyncio.to_thread(recorder.wait, 60)
        await super().close()


@pytest.fixture
async def publishing(database_url: str, tmp_path: Path, kafka: KafkaBroker) -> AsyncIterator[Publishing]:
    namespace = f"f{abs(hash(tmp_path)) % 10**12}"
    for topic in TOPICS:
        fresh_topic(kafka, topic.partitions, named(topic, namespace))
    made = Publishing(database_url, tmp_path / "home", kafka, namespace)
    await made.open()
    yield made
    await made.close()


class TestKills:
    async def test_every_event_comes_whoever_is_killed_or_frozen(self, publishing: Publishing) -> None:
        seed = int(os.environ.get("INTERPLAY_TEST_SEED", random.randrange(2**32)))
        dice = random.Random(seed)
        history: list[str] = []
        workers = [publishing.worker(**publishing.settings) for _ in range(3)]
        recorders = [publishing.recorder() for _ in range(2)]
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            await publishing.start(FLOW, dice.randrange(20, 120))
            place = dice.randrange(3)
            fault = dice.choice(["kill", "kill", "freeze", "recorder", "none"])
            history.append(f"{fault} {place}")
            if fault == "kill":
                workers[place].kill()
                workers[place].wait()
                workers[place] = publishing.worker(**publishing.settings)
            elif fault == "freeze":
                os.kill(workers[place].pid, signal.SIGSTOP)
                await asyncio.sleep(dice.uniform(0.2, 1.6))
                os.kill(workers[place].pid, signal.SIGCONT)
            elif fault == "recorder":
                recorders[place % 2].kill()
                recorders[place % 2].wait()
                recorders[place % 2] = publishing.recorder()
            await asyncio.sleep(dice.uniform(0.0, 0.5))
        print(f"seed {seed}: {history}, {len(publishing.created)} runs")
        await publishing.until_ended()
        await publishing.until_published()
        assert await log_problems(publishing.url, publishing.broker, publishing.namespace) == []
        logged = logged_events(publishing.broker, publishing.namespace)
        doubles = sum(len(events) - len({event.seq for event in events}) for events in logged.values())
        print(f"{sum(map(len, logged.values()))} records, {doubles} of them doubles")
        assert len(logged) == len(publishing.created) > 200
        assert doubles > 0, "nobody published what another had published already"
        await publishing.check()

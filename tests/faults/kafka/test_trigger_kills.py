"""A topic read by three schedulers that are killed at random: each message starts one run, and none is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.flow_store import PostgresFlowStore
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.trigger_store import PostgresTriggerStore
from interplay.core.triggers.trigger import Trigger
from interplay.ports.topic_writer import TopicRecord
from interplay.ports.trigger_store import KeptTrigger, NewTrigger
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.save_flow import FlowSource, SaveFlow
from tests.faults.conftest import new_id
from tests.kafka_server import fresh_topic, records_of
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(240)
FLOW = "flow: note\ninputs: {n: integer}\nsteps:\n  out: {set: {n: $inputs.n}}\noutput: {n: $out.n}\n"
MESSAGES, POISON_EVERY, PARTITIONS, KILLS = 3_000, 50, 4, 6
SESSION_SECONDS = 6  # until the group misses a member that was killed


class Streams:
    """A ledger, a topic with its dead letters, and schedulers as processes."""

    def __init__(self, url: str, home: Path, broker: KafkaBroker) -> None:
        self.url, self.home, self.broker = url, home, broker
        self.database = Database(url)
        self.topic = fresh_topic(broker, PARTITIONS)
        self.dead = fresh_topic(broker)
        self.processes: list[subprocess.Popen[bytes]] = []

    async def open(self) -> KeptTrigger:
        await migrate(self.url)
        await Maintenance(self.database).ensure_shelves()
        flows = PostgresFlowStore(self.database)
        await SaveFlow(flows, PostgresModelRegistry(self.database), PlanLoader(flows)).save(1, FlowSource(FLOW))
        trigger = Trigger(
            self.topic, "note", inputs={"n": "$message.value.n"}, start="earliest", dead_letters=self.dead, batch=100
        )
        kept, _ = await PostgresTriggerStore(self.database).put(NewTrigger(new_id(), 1, "notes", trigger, None))
        return kept

    def start(self) -> None:
        environment = {
            **os.environ,
            "INTERPLAY_HOME": str(self.home),
            "INTERPLAY_DATABASE_URL": self.url,
            "INTERPLAY_KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "INTERPLAY_KAFKA_SESSION_SECONDS": str(SESSION_SECONDS),
            "INTERPLAY_PORT": "0",
        }
        with (self.home / "scheduler.log").open("ab") as log:
            command = [sys.executable, "-m", "interplay.cli", "serve", "scheduler"]
            self.processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))

    async def write(self) -> None:
        producer = KafkaProducer(KafkaConnection(self.broker.bootstrap))
        for first in range(0, MESSAGES, 100):
            await asyncio.gather(
                *(
                    producer.send(TopicRecord(self.topic, self.value(n), b"%d" % (n % 37)))
                    for n in range(first, first + 100)
                )
            )
        await producer.close()

    @staticmethod
    def value(number: int) -> bytes:
        return b"poison %d" % number if number % POISON_EVERY == 0 else json.dumps({"n": number}).encode()

    async def ask(self, statement: str) -> Any:
        connection = await asyncpg.connect(self.url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def runs(self) -> int:
        return int((await self.ask("select count(*) as n from run"))[0]["n"])

    async def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            await asyncio.to_thread(process.wait, 60)
        await self.database.close()


@pytest.fixture
async def streams(database_url: str, tmp_path: Path, kafka: KafkaBroker) -> AsyncIterator[Streams]:
    made = Streams(database_url, tmp_path, kafka)
    yield made
    await made.close()


class TestKills:
    async def test_each_message_starts_one_run_whoever_is_killed(self, streams: Streams) -> None:
        seed = int(os.environ.get("INTERPLAY_TEST_SEED", random.randrange(2**32)))
        print(f"seed {seed}")
        chance = random.Random(seed)
        kept = await streams.open()
        writing = asyncio.create_task(streams.write())
        for _ in range(3):
            streams.start()
        killed_at_work = 0
        wanted = MESSAGES - MESSAGES // POISON_EVERY
        for kill in range(KILLS):
            before = await streams.runs()
            while (now := await streams.runs()) < min(before + chance.randrange(1, 300), wanted):
                await asyncio.sleep(0.01)
            victim = chance.choice([process for process in streams.processes if process.poll() is None])
            victim.send_signal(signal.SIGKILL)
            await asyncio.to_thread(victim.wait, 10)
            killed_at_work += now < wanted
            print(f"kill {kill}: {now} runs")
            streams.start()
        await writing
        readers = KafkaTopicReader(KafkaConnection(streams.broker.bootstrap))
        async with asyncio.timeout(120):
            while any(dict(await readers.lag(kept.group, streams.topic)).values()):
                await asyncio.sleep(0.2)
        assert killed_at_work >= KILLS // 2, "it was not at work while they were killed"
        rows = await streams.ask("select labels->>'message' as place, count(*) as n from run group by 1")
        assert [row["place"] for row in rows if row["n"] != 1] == []
        assert len(rows) == wanted
        letters = records_of(streams.broker, streams.dead, 0)
        assert {value for _, value, _ in letters} == {streams.value(n) for n in range(0, MESSAGES, POISON_EVERY)}

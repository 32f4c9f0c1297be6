"""A topic that feeds a model, worked on by schedulers that are killed at random: every message has its answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.trigger_store import PostgresTriggerStore
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.triggers.trigger import Output, Trigger
from interplay.ports.trigger_store import KeptTrigger, NewTrigger
from tests.faults.conftest import new_id
from tests.faults.kafka.test_trigger_kills import MESSAGES, PARTITIONS, POISON_EVERY, Streams
from tests.kafka_server import fresh_topic, records_of
from tests.provider_server import ProviderServer, provider_server
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(240)
KILLS = 5


class Fed(Streams):
    def __init__(self, url: str, home: Path, broker: KafkaBroker, provider: ProviderServer) -> None:
        super().__init__(url, home, broker)
        self.provider = provider
        self.out = fresh_topic(broker, PARTITIONS)

    async def open(self) -> KeptTrigger:
        await migrate(self.url)
        await Maintenance(self.database).ensure_shelves()
        models = PostgresModelRegistry(self.database)
        await models.put_connection(1, Connection("there", base_url=self.provider.url))
        await models.put_model(1, Model("alias", "embed", (Deployment("there", "m"),)))
        trigger = Trigger(
            self.topic, model="alias", request={"text": "${ string(message.value.n) }"}, start="earliest", batch=100,
            output=Output(self.out, value={"n": "$message.value.n"}), dead_letters=self.dead, together=10,
        )  # fmt: skip
        return (await PostgresTriggerStore(self.database).put(NewTrigger(new_id(), 1, "notes", trigger, None)))[0]

    def answered(self) -> int:
        return sum(len(call["body"]["input"]) for call in self.provider.ledger if call["ended"])


@pytest.fixture
async def fed(
    database_url: str, tmp_path: Path, kafka: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Fed]:
    monkeypatch.setenv("INTERPLAY_EGRESS_ALLOW", "127.0.0.1")
    with provider_server() as provider:
        provider.play({"delay": 0.02})
        made = Fed(database_url, tmp_path, kafka, provider)
        yield made
        await made.close()


class TestKills:
    async def test_every_message_has_its_answer_and_keys_their_order_whoever_is_killed(self, fed: Fed) -> None:
        seed = int(os.environ.get("INTERPLAY_TEST_SEED", random.randrange(2**32)))
        print(f"seed {seed}")
        chance = random.Random(seed)
        kept = await fed.open()
        writing = asyncio.create_task(fed.write())
        for _ in range(2):
            fed.start()
        at_work = 0
        for _ in range(KILLS):
            before = fed.answered()
            async with asyncio.timeout(90):
                while fed.answered() < min(before + chance.randrange(1, 300), MESSAGES * 0.9):
                    await asyncio.sleep(0.01)
            at_work += fed.answered() < MESSAGES * 0.9
            victim = chance.choice([process for process in fed.processes if process.poll() is None])
            victim.send_signal(signal.SIGKILL)
            await asyncio.to_thread(victim.wait, 10)
            fed.start()
        await writing
        readers = KafkaTopicReader(KafkaConnection(fed.broker.bootstrap))
        async with asyncio.timeout(120):
            while any(left != 0 for left in dict(await readers.lag(kept.group, fed.topic)).values()):
                await asyncio.sleep(0.2)
        assert at_work >= 2, "it was not at work while they were killed"

        seen: set[bytes] = set()
        by_key: dict[bytes, list[int]] = defaultdict(list)
        for partition in range(PARTITIONS):
            for key, value, headers in records_of(fed.broker, fed.out, partition):
                identity = dict(headers)["idempotency-key"]
                if identity not in seen:  # as a consumer drops doubles
                    seen.add(identity)
                    by_key[key].append(json.loads(value)["n"])
        wanted = {number for number in range(MESSAGES) if number % POISON_EVERY}
        assert sorted(number for numbers in by_key.values() for number in numbers) == sorted(wanted)
        for key, numbers in by_key.items():
            assert numbers == sorted(numbers), f"the answers of {key!r} lost their order"

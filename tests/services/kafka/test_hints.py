"""Hints by a topic, where the topic is not what it was: lost ones cost time and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.event_bus import KafkaEventBus
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.event_bus import PostgresEventBus
from interplay.core.runs.topics import Subscriptions
from tests.kafka_server import fresh_topic
from tools.kafka import KafkaBroker


class Process:
    """The buses of one process."""

    def __init__(self, url: str, bootstrap: str, topic: str) -> None:
        self.database, subscriptions = Database(url), Subscriptions()
        self.ledger = PostgresEventBus(self.database, subscriptions)
        self.bus = KafkaEventBus(KafkaConnection(bootstrap), subscriptions, self.ledger, topic)

    async def start(self) -> None:
        await self.ledger.start()
        await self.bus.start()

    async def close(self) -> None:
        await self.bus.close()
        await self.ledger.close()
        await self.database.close()


async def tell(one: Process, other: Process, name: str) -> None:
    """Says it until the other one hears it."""
    async with other.bus.subscribe(name) as messages, asyncio.timeout(30):
        first = asyncio.ensure_future(anext(messages))
        while not first.done():
            one.bus.publish(name, {"n": 1})
            await asyncio.wait([first], timeout=0.05)


async def until_taken(process: Process, taken: bool) -> None:
    async with asyncio.timeout(30):
        while process.bus.taken is not taken or (taken and not process.bus.reading.is_set()):
            await asyncio.sleep(0.02)


@pytest.fixture
async def two(database_url: str, kafka: KafkaBroker) -> AsyncIterator[tuple[Process, Process, str]]:
    topic = fresh_topic(kafka, 3)
    both = Process(database_url, kafka.bootstrap, topic), Process(database_url, kafka.bootstrap, topic)
    for process in both:
        await process.start()
    yield *both, topic
    for process in both:
        await process.close()


class TestTwoProcesses:
    async def test_they_hear_one_another_through_the_topic(self, two: tuple[Process, Process, str]) -> None:
        one, other, _ = two
        for process in (one, other):
            await until_taken(process, True)
        before = one.bus.otherwise
        await tell(one, other, "queue.default")
        assert one.bus.otherwise == before

    async def test_what_is_no_hint_is_passed_over(self, two: tuple[Process, Process, str], kafka: KafkaBroker) -> None:
        one, other, topic = two
        for process in (one, other):
            await until_taken(process, True)
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for raw in (b"\xff", b"{}", b"[1]", b'[["a"]]', b"", None):
            producer.produce(topic, value=raw)
        producer.flush(10)
        await tell(one, other, "run.1")

    async def test_one_that_no_json_can_hold_ends_no_others(self, two: tuple[Process, Process, str]) -> None:
        one, other, _ = two
        for process in (one, other):
            await until_taken(process, True)
        one.bus.publish("run.1", {"text": "\ud800"})
        await tell(one, other, "run.2")
        assert one.bus.dropped >= 1


class TestABrokerThatIsAway:
    async def test_hints_go_through_the_database_and_back_when_it_returns(
        self, database_url: str, tmp_path: Path
    ) -> None:
        broker = KafkaBroker(tmp_path / "kafka")
        broker.start()
        both: list[Process] = []
        try:
            topic = fresh_topic(broker, 1)
            both = [Process(database_url, broker.bootstrap, topic) for _ in range(2)]
            for process in both:
                await process.start()
            for process in both:
                await until_taken(process, True)
            broker.stop()
            await tell(both[0], both[1], "run.1")  # what was on its way to the broker is told otherwise
            await until_taken(both[0], False)
            broker.start()
            await until_taken(both[0], True)
            await until_taken(both[1], True)
            await tell(both[0], both[1], "run.2")
        finally:
            for process in both:
                await process.close()
            broker.stop()

    async def test_a_topic_that_nobody_made_is_the_same(self, database_url: str, kafka: KafkaBroker) -> None:
        both: list[Any] = [Process(database_url, kafka.bootstrap, "nobody-made-hints") for _ in range(2)]
        for process in both:
            await process.start()
        await tell(both[0], both[1], "run.1")
        assert not both[0].bus.taken
        for process in both:
            await process.close()

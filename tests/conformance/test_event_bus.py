"""Hints between processes: in one of them, by the ledger, and by a topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.event_bus import KafkaEventBus
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.event_bus import PostgresEventBus
from interplay.core.runs.topics import Subscriptions
from interplay.ports.event_bus import EventBus
from tests.kafka_server import fresh_topic
from tools.kafka import KafkaBroker


@pytest.fixture(params=["memory", "postgres", "kafka"])
async def bus(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[EventBus]:
    if request.param == "memory":
        yield MemoryEventBus()
        return
    database, subscriptions = Database(database_url), Subscriptions()
    ledger = PostgresEventBus(database, subscriptions)
    if request.param == "postgres":
        await ledger.start()
        yield ledger
    else:  # the ledger's is not started: what is heard came through the topic
        broker: KafkaBroker = request.getfixturevalue("kafka")
        topic = KafkaEventBus(KafkaConnection(broker.bootstrap), subscriptions, ledger, fresh_topic(broker, 2))
        await topic.start()
        yield topic
        await topic.close()
    await ledger.close()
    await database.close()


async def heard(bus: EventBus, topic: str, publish: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The first message of a topic. Hints may get lost while a bus connects, so they are sent again."""
    async with bus.subscribe(topic) as messages, asyncio.timeout(20):
        first = asyncio.ensure_future(anext(messages))
        while not first.done():
            for name, message in publish:
                bus.publish(name, message)
            await asyncio.wait([first], timeout=0.05)
        return first.result()[1]


class TestEventBus:
    async def test_a_listener_hears_its_topic(self, bus: EventBus) -> None:
        assert await heard(bus, "run.1", [("run.2", {"n": 2}), ("run.1", {"n": 1})]) == {"n": 1}

    async def test_a_star_hears_all_that_begin_so(self, bus: EventBus) -> None:
        assert await heard(bus, "queue.*", [("run.1", {"n": 1}), ("queue.x", {"n": 3})]) == {"n": 3}

    async def test_publishing_to_nobody_is_fine(self, bus: EventBus) -> None:
        for number in range(20_000):
            bus.publish("run.nobody", {"n": number, "text": "x" * 100})
        assert await heard(bus, "run.1", [("run.1", {"n": 1})]) == {"n": 1}

    async def test_what_is_large_comes_too_or_its_kind_does(self, bus: EventBus) -> None:
        message = {"type": "step.delta", "text": "ö" * 50_000}
        found = await heard(bus, "run.1", [("run.1", message)])
        assert found in (message, {"type": "step.delta"})

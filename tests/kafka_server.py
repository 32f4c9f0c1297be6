"""A real Kafka for tests: one broker a session, new topics for each test."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tools.kafka import KafkaBroker

_NUMBERS = itertools.count(1)
_NOT_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        broker = KafkaBroker(Path(folder))
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


class HasAddress(Protocol):
    """A broker, whoever runs it."""

    @property
    def bootstrap(self) -> str: ...


def fresh_topic(broker: KafkaBroker, partitions: int = 1, name: str | None = None, **settings: str) -> str:
    """Makes a topic of this name, or of one that nobody has had."""
    name = name or f"test-{next(_NUMBERS)}"
    make_topic(broker.bootstrap, name, partitions, **settings)
    return name


def make_topic(bootstrap: str, name: str, partitions: int = 1, **settings: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1, config=dict(settings))])[name].result(30)


def records_of(broker: HasAddress, topic: str, partition: int) -> list[Any]:
    """Everything that stands in a partition now."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "look", "enable.auto.commit": False})
    try:
        place = TopicPartition(topic, partition, 0)
        end = _end_of(consumer, place)
        consumer.assign([place])
        found: list[Any] = []
        while len(found) < end:
            found += consumer.consume(end - len(found), timeout=10)
        assert all(message.error() is None for message in found)
        return [(message.key(), message.value(), tuple(message.headers() or ())) for message in found]
    finally:
        consumer.close()


def _end_of(consumer: Consumer, place: TopicPartition) -> int:
    """Where the partition ends. One that was made just now has no leader for a moment."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, timeout=10)[1])
        except KafkaException as wrong:
            if wrong.args[0].code() not in _NOT_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@pytest.fixture
def topic(kafka: KafkaBroker) -> str:
    """A new topic of one partition."""
    return fresh_topic(kafka)

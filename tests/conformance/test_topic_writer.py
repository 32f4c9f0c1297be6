"""Records to topics: a real Kafka, and the one in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_writer import KafkaTopicWriter
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicRecord, TopicWriter
from tests.kafka_server import fresh_topic, records_of
from tools.kafka import KafkaBroker


class Topics:
    """A writer, and how its topics are made and looked into."""

    def __init__(self, writer: TopicWriter, make: Callable[[int], str], read: Callable[[str, int], list[Any]]) -> None:
        self.writer, self.make, self.read = writer, make, read


@pytest.fixture(params=["kafka", "memory"])
async def topics(request: pytest.FixtureRequest) -> AsyncIterator[Topics]:
    if request.param == "memory":
        memory = MemoryTopicWriter()

        def make(partitions: int) -> str:
            name = f"topic-{len(memory.topics)}"
            memory.make(name, partitions)
            return name

        def read(topic: str, partition: int) -> list[Any]:
            return [(record.key, record.value, record.headers) for record in memory.topics[topic][partition]]

        yield Topics(memory, make, read)
        return
    broker: KafkaBroker = request.getfixturevalue("kafka")
    producer = KafkaProducer(KafkaConnection(broker.bootstrap))
    yield Topics(
        KafkaTopicWriter(producer),
        lambda partitions: fresh_topic(broker, partitions),
        lambda topic, partition: records_of(broker, topic, partition),
    )
    await producer.close()


class TestTopicsOfOurs:
    async def test_those_of_an_installation_are_not_for_flows(self, kafka: KafkaBroker) -> None:
        producer = KafkaProducer(KafkaConnection(kafka.bootstrap))
        try:
            topic = fresh_topic(kafka, 1, "acme.runs.v1")
            writer = KafkaTopicWriter(producer, "acme.")
            with pytest.raises(StepFailure, match="not for flows"):
                await writer.write(TopicRecord(topic, b"{}"))
            assert records_of(kafka, topic, 0) == []
            await writer.write(TopicRecord(fresh_topic(kafka, 1, "acme-runs"), b"{}"))
        finally:
            await producer.close()


class TestTopicWriter:
    async def test_a_record_is_there_as_it_was_written(self, topics: Topics) -> None:
        topic = topics.make(1)
        headers = (("interplay-run", b"r"), ("interplay-step", "söder".encode()))
        place = await topics.writer.write(TopicRecord(topic, b'{"a": 1}', b"k", headers))
        assert (place.topic, place.partition, place.offset) == (topic, 0, 0)
        assert topics.read(topic, 0) == [(b"k", b'{"a": 1}', headers)]

    async def test_a_record_may_have_no_key_and_no_value(self, topics: Topics) -> None:
        topic = topics.make(1)
        await topics.writer.write(TopicRecord(topic, None))
        assert topics.read(topic, 0) == [(None, None, ())]

    async def test_records_of_a_key_keep_their_order(self, topics: Topics) -> None:
        topic = topics.make(4)
        writing = [topics.writer.write(TopicRecord(topic, b"%d" % number, b"key")) for number in range(500)]
        places = await asyncio.gather(*writing)
        (partition,) = {place.partition for place in places}
        assert [value for _, value, _ in topics.read(topic, partition)] == [b"%d" % number for number in range(500)]
        assert [place.offset for place in places] == list(range(500))

    async def test_no_topic_is_made_silently(self, topics: Topics) -> None:
        with pytest.raises(StepFailure) as refused:
            await topics.writer.write(TopicRecord("nobody-made-it", b"x"))
        assert refused.value.failure.code == "not_found"
        assert "'nobody-made-it'" in refused.value.detail

    async def test_a_record_that_is_too_large_is_refused(self, topics: Topics) -> None:
        topic = topics.make(1)
        with pytest.raises(StepFailure) as refused:
            await topics.writer.write(TopicRecord(topic, os.urandom(5_000_000)))
        assert refused.value.failure.code == "bad_request"
        await topics.writer.write(TopicRecord(topic, b"and on"))
        assert [value for _, value, _ in topics.read(topic, 0)] == [b"and on"]

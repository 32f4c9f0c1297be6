"""Members of a group at a real broker: what they keep while partitions move, and while they take nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_reader import KafkaMember, KafkaTopicReader
from interplay.client import AsyncClient, NotAvailable
from interplay.core.triggers.messages import Message
from interplay.ports.topic_reader import StartAt
from interplay.ports.topic_writer import TopicRecord
from tests.kafka_server import fresh_topic
from tools.kafka import KafkaBroker

EARLIEST = StartAt("earliest")
GROUP = "members"


class Refusing:
    """The library's consumer, whose commits a broker refuses while its group shares out the partitions anew."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.refuses = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def commit(self, **how: Any) -> Any:
        if self.refuses:
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        return self._consumer.commit(**how)


def refusing(member: KafkaMember) -> Refusing:
    member._consumer = Refusing(member._consumer)
    return member._consumer


async def taken(member: KafkaMember, count: int) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(60):
        while len(found) < count:
            found += await member.batch(count, 0.5)
    return found


@pytest.fixture
async def producer(kafka: KafkaBroker) -> AsyncIterator[KafkaProducer]:
    made = KafkaProducer(KafkaConnection(kafka.bootstrap))
    yield made
    await made.close()


@pytest.fixture
def readers(kafka: KafkaBroker) -> KafkaTopicReader:
    return KafkaTopicReader(KafkaConnection(kafka.bootstrap))


class TestCommits:
    async def test_one_that_was_refused_is_made_good_though_nothing_comes(
        self, readers: KafkaTopicReader, producer: KafkaProducer, topic: str
    ) -> None:
        await producer.send(TopicRecord(topic, b"a"))
        async with readers.join(GROUP, topic, EARLIEST) as member:
            found = await taken(member, 1)
            consumer = refusing(member)
            await member.commit(found)
            assert dict(await readers.lag(GROUP, topic)) == {0: 1}
            consumer.refuses = False
            assert await member.batch(1, 0.1) == []
            assert dict(await readers.lag(GROUP, topic)) == {0: 0}

    async def test_what_is_owed_for_a_partition_of_another_by_now_sets_nothing_back(
        self, kafka: KafkaBroker, readers: KafkaTopicReader, producer: KafkaProducer
    ) -> None:
        topic = fresh_topic(kafka, 2)
        for number in range(40):
            await producer.send(TopicRecord(topic, b"%d" % number, b"%d" % number))
        async with readers.join(GROUP, topic, EARLIEST) as first, readers.join(GROUP, topic, EARLIEST) as second:
            read = await taken(first, 40)
            consumer = refusing(first)
            await first.commit([message for message in read if message.offset < 2])
            theirs: list[Message] = []
            async with asyncio.timeout(60):
                while not theirs:
                    await first.batch(100, 0.1)
                    theirs += await second.batch(100, 0.1)
            moved = theirs[0].partition
            async with asyncio.timeout(60):
                while (await readers.lag(GROUP, topic))[moved] != 0:
                    await second.commit(theirs)
                    await first.batch(100, 0.1)
                    theirs += await second.batch(100, 0.1)
            consumer.refuses = False
            await first.batch(100, 0.1)
            lag = dict(await readers.lag(GROUP, topic))
            assert lag[moved] == 0, "the one who has it by now had committed all of it"
            assert lag[1 - moved] == sum(message.partition != moved for message in read) - 2


class TestStay:
    async def test_who_stays_longer_than_a_turn_keeps_its_partitions(
        self, kafka: KafkaBroker, producer: KafkaProducer, topic: str
    ) -> None:
        readers = KafkaTopicReader(KafkaConnection(kafka.bootstrap), session=6.0, turn=6.0)
        await producer.send(TopicRecord(topic, b"a"))
        async with readers.join(GROUP, topic, EARLIEST) as member:
            found = await taken(member, 1)
            await member.stay(8.0)
            await member.commit(found)
            assert dict(await readers.lag(GROUP, topic)) == {0: 0}, "its commit counts: it is a member"


class TestLag:
    async def test_a_broker_that_hangs_is_told_within_seconds(
        self, readers: KafkaTopicReader, kafka: KafkaBroker, topic: str, client: AsyncClient
    ) -> None:
        await client.flows.put("note", "flow: note\nsteps: {a: {set: {x: 1}}}\n")
        await client.triggers.put("notes", topic, "note")
        loop = asyncio.get_running_loop()
        kafka.signal(signal.SIGSTOP)
        try:
            began = loop.time()
            with pytest.raises(NotAvailable, match="did not answer"):
                await client.triggers.lag("notes")
            assert loop.time() - began < 10
        finally:
            kafka.signal(signal.SIGCONT)

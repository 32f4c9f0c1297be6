"""Messages of topics, read by groups: a real Kafka, and the one in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.topic_reader import KafkaTopicReader
from interplay.adapters.kafka.topic_writer import KafkaTopicWriter
from interplay.adapters.memory.topic_reader import MemoryTopicReader
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.errors import NotFound
from interplay.core.triggers.messages import Message
from interplay.ports.topic_reader import StartAt, TopicMember
from interplay.ports.topic_writer import TopicRecord
from tests.kafka_server import fresh_topic

_GROUPS = itertools.count(1)
EARLIEST = StartAt("earliest")


class World:
    def __init__(self, readers: Any, writer: Any, make: Any) -> None:
        self.readers, self.writer, self.make = readers, writer, make

    async def write(self, topic: str, *values: bytes, key: bytes | None = None) -> None:
        for value in values:
            await self.writer.write(TopicRecord(topic, value, key, (("h", b"1"),)))


@pytest.fixture(params=["kafka", "memory"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        memory = MemoryTopicWriter()

        def make(partitions: int = 1) -> str:
            name = f"topic-{len(memory.topics)}"
            memory.make(name, partitions)
            return name

        yield World(MemoryTopicReader(memory), memory, make)
        return
    broker = request.getfixturevalue("kafka")
    connection = KafkaConnection(broker.bootstrap)
    producer = KafkaProducer(connection)
    yield World(KafkaTopicReader(connection), KafkaTopicWriter(producer), lambda n=1: fresh_topic(broker, n))
    await producer.close()


def group() -> str:
    return f"group-{next(_GROUPS)}"


async def read(reader: TopicMember, count: int, within: float = 30.0) -> list[Message]:
    """So many messages, or as many as come in that time."""
    found: list[Message] = []
    deadline = time.monotonic() + within
    while len(found) < count and time.monotonic() < deadline:
        found += await reader.batch(count - len(found), 0.5)
    return found


class TestTopicReader:
    async def test_messages_come_as_they_were_written_and_in_their_order(self, world: World) -> None:
        topic = world.make()
        before = time.time()
        await world.write(topic, *(b"%d" % n for n in range(5)), key=b"k")
        async with world.readers.join(group(), topic, EARLIEST) as reader:
            found = await read(reader, 5)
        assert [(m.offset, m.value, m.key, m.headers) for m in found] == [
            (n, b"%d" % n, b"k", (("h", b"1"),)) for n in range(5)
        ]
        assert all(before - 1 <= message.time <= time.time() + 1 for message in found)

    async def test_what_was_not_committed_is_read_again(self, world: World) -> None:
        topic, name = world.make(), group()
        await world.write(topic, b"a", b"b", b"c")
        async with world.readers.join(name, topic, EARLIEST) as reader:
            found = await read(reader, 3)
            await reader.commit(found[:2])
        async with world.readers.join(name, topic, EARLIEST) as reader:
            assert [message.value for message in await read(reader, 1)] == [b"c"]

    async def test_a_new_group_at_the_end_reads_what_comes_from_now_on(self, world: World) -> None:
        topic, name = world.make(), group()
        await world.write(topic, b"old")
        async with world.readers.join(name, topic, StartAt("latest")) as reader:
            while not (found := await reader.batch(10, 0.2)):  # a member is there at some time after it joined
                await world.write(topic, b"new")
        assert {message.value for message in found} == {b"new"}

    async def test_what_comes_while_no_member_is_there_is_not_missed(self, world: World) -> None:
        topic, name = world.make(), group()
        async with world.readers.join(name, topic, StartAt("latest")) as reader:
            while dict(await world.readers.lag(name, topic)) != {0: 0}:  # until it is a member
                await reader.batch(1, 0.1)
        await world.write(topic, b"meanwhile")
        async with world.readers.join(name, topic, StartAt("latest")) as reader:
            assert [message.value for message in await read(reader, 1)] == [b"meanwhile"]

    async def test_a_group_may_begin_at_an_offset_or_at_a_time(self, world: World) -> None:
        topic = world.make()
        await world.write(topic, b"a", b"b")
        async with world.readers.join(group(), topic, EARLIEST) as reader:
            (first, second) = await read(reader, 2)
        async with world.readers.join(group(), topic, StartAt(offset=1)) as reader:
            assert [message.value for message in await read(reader, 1)] == [b"b"]
        async with world.readers.join(group(), topic, StartAt(time=min(first.time, second.time) - 60)) as reader:
            assert [message.value for message in await read(reader, 2)] == [b"a", b"b"]
        async with world.readers.join(group(), topic, StartAt(time=time.time() + 3600)) as reader:
            assert await read(reader, 1, within=3) == []

    async def test_a_group_that_has_committed_goes_on_there_wherever_it_would_start(self, world: World) -> None:
        topic, name = world.make(), group()
        await world.write(topic, b"a", b"b")
        async with world.readers.join(name, topic, EARLIEST) as reader:
            await reader.commit(await read(reader, 2))
        await world.write(topic, b"c")
        async with world.readers.join(name, topic, StartAt(offset=0)) as reader:
            assert [message.value for message in await read(reader, 1)] == [b"c"]

    async def test_lag_is_what_the_group_has_not_committed(self, world: World) -> None:
        topic, name = world.make(), group()
        await world.write(topic, b"a", b"b", b"c")
        assert dict(await world.readers.lag(name, topic)) == {0: None}  # nobody has joined yet
        async with world.readers.join(name, topic, EARLIEST) as reader:
            await reader.commit((await read(reader, 3))[:1])
        assert dict(await world.readers.lag(name, topic)) == {0: 2}

    async def test_who_stays_takes_nothing_and_misses_nothing(self, world: World) -> None:
        topic, name = world.make(2), group()
        await world.write(topic, b"a")
        async with world.readers.join(name, topic, EARLIEST) as reader:
            await reader.commit(await read(reader, 1))
            await world.write(topic, *(b"%d" % n for n in range(20)))
            await reader.stay(0.5)
            await world.write(topic, b"last")
            assert sum((await world.readers.lag(name, topic)).values()) == 21
            found = await read(reader, 21)
            assert sorted(message.value for message in found) == sorted([*(b"%d" % n for n in range(20)), b"last"])
            await reader.commit(found)
        assert sum((await world.readers.lag(name, topic)).values()) == 0

    async def test_a_topic_that_is_not_there_is_told(self, world: World) -> None:
        with pytest.raises(NotFound, match="nobody-made-it"):
            async with world.readers.join(group(), "nobody-made-it", EARLIEST) as reader:
                await reader.batch(1, 0.1)
        with pytest.raises(NotFound):
            await world.readers.lag(group(), "nobody-made-it")

    async def test_members_share_the_partitions_and_one_that_leaves_leaves_them_to_the_others(
        self, world: World
    ) -> None:
        topic, name = world.make(2), group()
        await world.write(topic, *(b"%d" % n for n in range(20)))
        async with world.readers.join(name, topic, EARLIEST) as stays:
            async with world.readers.join(name, topic, EARLIEST) as leaves:
                first = await read(leaves, 1)
                await leaves.commit(first)
            rest = await read(stays, 19)
        assert {message.value for message in first} | {message.value for message in rest} == {
            b"%d" % n for n in range(20)
        }

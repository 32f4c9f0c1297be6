"""What topics there are, and making them: at a real Kafka, and in memory."""

from __future__ import annotations

import itertools

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.topic_admin import KafkaTopicAdmin
from interplay.adapters.memory.topic_admin import MemoryTopicAdmin
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.errors import InvalidInput
from interplay.core.topics_of_ours import TopicShape
from interplay.ports.topic_admin import TopicAdmin

_NUMBERS = itertools.count(1)
SETTINGS = {"cleanup.policy": "delete", "retention.ms": "7200000"}


def fresh(partitions: int = 3, replication: int = 1) -> TopicShape:
    return TopicShape(f"admin-{next(_NUMBERS)}", partitions, replication, SETTINGS)


@pytest.fixture(params=["kafka", "memory"])
def admin(request: pytest.FixtureRequest) -> TopicAdmin:
    if request.param == "memory":
        return MemoryTopicAdmin(MemoryTopicWriter())
    return KafkaTopicAdmin(KafkaConnection(request.getfixturevalue("kafka").bootstrap))


class TestTopicAdmin:
    async def test_there_is_one_broker(self, admin: TopicAdmin) -> None:
        assert await admin.brokers() == 1

    async def test_what_was_made_is_as_it_was_wanted(self, admin: TopicAdmin) -> None:
        wanted = fresh()
        assert list(await admin.make([wanted])) == [wanted.name]
        found = (await admin.describe([wanted.name]))[wanted.name]
        assert (found.partitions, found.replication) == (3, 1)
        assert {name: found.settings[name] for name in SETTINGS} == SETTINGS

    async def test_one_that_is_there_is_not_touched(self, admin: TopicAdmin) -> None:
        wanted, other = fresh(), fresh()
        await admin.make([wanted])
        larger = TopicShape(wanted.name, 7, 1, {"retention.ms": "1"})
        assert list(await admin.make([larger, other])) == [other.name]
        found = (await admin.describe([wanted.name]))[wanted.name]
        assert (found.partitions, found.settings["retention.ms"]) == (3, "7200000")

    async def test_one_that_is_not_there_is_not_described(self, admin: TopicAdmin) -> None:
        wanted = fresh()
        await admin.make([wanted])
        assert list(await admin.describe([wanted.name, "nobody-made-it"])) == [wanted.name]
        assert await admin.describe(["nobody-made-it"]) == {}

    async def test_more_copies_than_brokers_are_refused(self, admin: TopicAdmin) -> None:
        wanted = fresh(replication=3)
        with pytest.raises(InvalidInput, match=wanted.name):
            await admin.make([wanted])
        assert await admin.describe([wanted.name]) == {}

"""Events of runs as they are published: to a topic of a real Kafka, and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from uuid import UUID

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.event_log import KafkaEventLog, event_of
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.memory.event_log import MemoryEventLog
from interplay.core.errors import NotFound
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent
from interplay.ports.event_log import EventLog
from tests.conformance.conftest import new_id
from tests.kafka_server import fresh_topic, records_of
from tools.kafka import KafkaBroker

PARTITIONS = 3


class Log:
    """A log, and what stands in it, partition after partition."""

    def __init__(self, log: EventLog, read: Callable[[], Sequence[LoggedEvent]]) -> None:
        self.log, self.read = log, read


@pytest.fixture(params=["kafka", "memory"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param == "memory":
        memory = MemoryEventLog()
        yield Log(memory, lambda: memory.events)
        return
    broker: KafkaBroker = request.getfixturevalue("kafka")
    topic = fresh_topic(broker, PARTITIONS)

    def read() -> list[LoggedEvent]:
        found = [record for partition in range(PARTITIONS) for record in records_of(broker, topic, partition)]
        events = [event for key, value, _ in found if (event := event_of(value)) is not None]
        assert [str(event.run_id).encode() for event in events] == [key for key, _, _ in found]
        return events

    producer = KafkaProducer(KafkaConnection(broker.bootstrap), gapless=True)
    yield Log(KafkaEventLog(producer, topic), read)
    await producer.close()


def event(run_id: UUID, seq: int) -> LoggedEvent:
    return LoggedEvent(run_id, seq, EventKind.STEP_SUCCEEDED, 1795773600.5, 1, "f", "ab" * 32, "a", 1, {"output": seq})


class TestPublish:
    async def test_events_come_back_as_they_were_in_the_order_of_their_run(self, log: Log) -> None:
        runs = [new_id() for _ in range(8)]
        for seq in range(1, 31):
            await log.log.publish([event(run_id, seq) for run_id in runs])
        for run_id in runs:
            assert [one for one in log.read() if one.run_id == run_id] == [event(run_id, seq) for seq in range(1, 31)]

    async def test_many_at_once_keep_their_order(self, log: Log) -> None:
        run_id = new_id()
        await log.log.publish([event(run_id, seq) for seq in range(1, 2001)])
        assert [one.seq for one in log.read()] == list(range(1, 2001))

    async def test_nothing_is_nothing(self, log: Log) -> None:
        await log.log.publish([])
        assert list(log.read()) == []


class TestWhereItCannot:
    async def test_a_topic_that_nobody_made_is_told_and_how_it_is_made(self, kafka: KafkaBroker) -> None:
        producer = KafkaProducer(KafkaConnection(kafka.bootstrap), gapless=True)
        try:
            with pytest.raises(NotFound, match="interplay migrate"):
                await KafkaEventLog(producer, "nobody-made-it").publish([event(new_id(), 1)])
        finally:
            await producer.close()

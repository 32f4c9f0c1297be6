"""Usage records as they are published: to a topic of a real Kafka, and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.adapters.kafka.usage_log import KafkaUsageLog
from interplay.adapters.memory.usage_log import MemoryUsageLog
from interplay.contracts.events.v1 import decode_usage
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.ports.usage_log import UsageLog
from tests.conformance.conftest import new_id
from tests.kafka_server import fresh_topic, records_of
from tools.kafka import KafkaBroker


class Log:
    def __init__(self, log: UsageLog, read: Callable[[], list[UsageRecord]]) -> None:
        self.log, self.read = log, read


def read_back(raw: bytes) -> UsageRecord:
    """A message as a reader of the contract has it, made a record again."""
    event = decode_usage(raw)
    data = event.data
    assert event.id == event.subject == data.record
    usage = Usage(
        data.input_tokens, data.output_tokens, data.cached_tokens, data.calls, data.usd, data.reasoning_tokens,
        data.image_tokens, data.audio_tokens,
    )  # fmt: skip
    return UsageRecord(
        UUID(data.record), event.time.timestamp(), data.project, UUID(data.key) if data.key else None, data.model,
        data.deployment, data.flow, UUID(data.run) if data.run else None, data.status, data.outcome, usage,
        data.seconds, data.first_token, data.cached, data.attempts, data.estimated,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(params=["kafka", "memory"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[Log]:
    if request.param == "memory":
        memory = MemoryUsageLog()
        yield Log(memory, lambda: memory.records)
        return
    broker: KafkaBroker = request.getfixturevalue("kafka")
    topic = fresh_topic(broker)
    producer = KafkaProducer(KafkaConnection(broker.bootstrap))
    yield Log(
        KafkaUsageLog(producer, topic), lambda: [read_back(value) for _, value, _ in records_of(broker, topic, 0)]
    )
    await producer.close()


class TestPublish:
    async def test_records_come_back_as_they_were(self, log: Log) -> None:
        full = UsageRecord(
            new_id(), 1795773600.5, 1, new_id(), "small", "here/m", "review", new_id(), 429, "rate_limited",
            Usage(10, 5, 4, 1, 0.5, 3, 2, 1), 0.5, 0.25, "exact", 3, True,
        )  # fmt: skip
        bare = UsageRecord(new_id(), 1795773600.25, 1)
        await log.log.publish([full, bare])
        assert log.read() == [full, bare]

"""`TopicWriter` over a Kafka."""

from __future__ import annotations

from interplay.adapters.kafka.producer import KafkaProducer
from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicPlace, TopicRecord


class KafkaTopicWriter:
    """`ours`: how the names of this installation's own topics begin, which are not for flows."""

    def __init__(self, producer: KafkaProducer, ours: str | None = None) -> None:
        self._producer = producer
        self._ours = ours

    async def write(self, record: TopicRecord) -> TopicPlace:
        if self._ours is not None and record.topic.startswith(self._ours):
            raise StepFailure(
                "bad_request",
                f"{record.topic!r} is a topic of Interplay's own: names that begin with `{self._ours}` "
                "are not for flows.",
            )
        return await self._producer.send(record)

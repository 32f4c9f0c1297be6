"""`TopicWriter` over a Kafka."""

from __future__ import annotations

from interplay.adapters.kafka.producer import KafkaProducer
from interplay.ports.topic_writer import TopicPlace, TopicRecord


class KafkaTopicWriter:
    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer

    async def write(self, record: TopicRecord) -> TopicPlace:
        return await self._producer.send(record)

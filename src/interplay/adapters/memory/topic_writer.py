"""Topics in memory: for tests, and for whoever tries a flow without a broker."""

from __future__ import annotations

import zlib

from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicPlace, TopicRecord

MOST_BYTES = 1_000_000  # a broker's default, headers and all


class MemoryTopicWriter:
    """`topics`: the partitions of each, every one a list of its records."""

    def __init__(self) -> None:
        self.topics: dict[str, list[list[TopicRecord]]] = {}

    def make(self, topic: str, partitions: int = 1) -> None:
        self.topics.setdefault(topic, [[] for _ in range(partitions)])

    async def write(self, record: TopicRecord) -> TopicPlace:
        partitions = self.topics.get(record.topic)
        if partitions is None:
            raise StepFailure("not_found", f"There is no topic {record.topic!r}.")
        if len(record.value or b"") + len(record.key or b"") > MOST_BYTES:
            raise StepFailure("bad_request", f"The record is larger than {MOST_BYTES:,} bytes.")
        number = zlib.crc32(record.key or b"") % len(partitions)
        partitions[number].append(record)
        return TopicPlace(record.topic, number, len(partitions[number]) - 1)


class NoTopicWriter:
    """Where no broker is set up."""

    async def write(self, record: TopicRecord) -> TopicPlace:
        raise StepFailure(
            "bad_request",
            f"This worker has no broker, so nothing can be written to topic {record.topic!r}.",
            advice="Start it with INTERPLAY_KAFKA_BOOTSTRAP.",
        )

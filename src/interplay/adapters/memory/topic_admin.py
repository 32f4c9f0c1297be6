"""The topics of a `MemoryTopicWriter`, described and made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.errors import InvalidInput
from interplay.core.topics_of_ours import TopicShape


class MemoryTopicAdmin:
    """One broker."""

    def __init__(self, writer: MemoryTopicWriter) -> None:
        self.writer = writer
        self._shapes: dict[str, TopicShape] = {}

    async def brokers(self) -> int:
        return 1

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicShape]:
        there = self.writer.topics
        return {name: self._shapes.get(name, TopicShape(name, len(there[name]), 1)) for name in names if name in there}

    async def make(self, topics: Sequence[TopicShape]) -> Sequence[str]:
        made = []
        for topic in topics:
            if topic.name in self.writer.topics:
                continue
            if topic.replication > 1:
                raise InvalidInput(f"The broker does not make topic {topic.name!r}: there is one broker.")
            self.writer.make(topic.name, topic.partitions)
            self._shapes[topic.name] = topic
            made.append(topic.name)
        return made

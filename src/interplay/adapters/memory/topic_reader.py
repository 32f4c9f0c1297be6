"""Topics in memory, read by groups: every member of a group has every partition that no other one has."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping

from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.errors import NotFound
from interplay.core.triggers.messages import Message
from interplay.ports.topic_reader import StartAt, TopicMember


class MemoryTopicReader:
    """`writer` holds the topics. `times`: when a record was written, where that is not now."""

    def __init__(self, writer: MemoryTopicWriter) -> None:
        self.writer = writer
        self.times: dict[tuple[str, int, int], float] = {}
        self.committed: dict[str, dict[int, int]] = defaultdict(dict)
        self.owners: dict[str, dict[int, MemoryMember]] = defaultdict(dict)

    @contextlib.asynccontextmanager
    async def join(self, group: str, topic: str, start: StartAt) -> AsyncIterator[MemoryMember]:
        reader = MemoryMember(self, group, topic, start)
        try:
            yield reader
        finally:
            self.evict(group, reader)

    def evict(self, group: str, member: MemoryMember) -> None:
        """The group goes on without it, as without one that the broker has not heard of for long. When it comes back
        it reads on from what is committed."""
        mine = self.owners[group]
        for partition in [number for number, owner in mine.items() if owner is member]:
            del mine[partition]
        member.forget()

    async def lag(self, group: str, topic: str) -> Mapping[int, int | None]:
        partitions = self.partitions(topic)
        known = self.committed[group]
        return {n: len(partition) - known[n] if n in known else None for n, partition in enumerate(partitions)}

    def partitions(self, topic: str) -> list[list[object]]:
        found = self.writer.topics.get(topic)
        if found is None:
            raise NotFound(f"There is no topic {topic!r}.", where="topic")
        return [list(partition) for partition in found]

    def messages(self, topic: str, partition: int, first: int) -> list[Message]:
        records = self.writer.topics[topic][partition][first:]
        return [
            Message(topic, partition, n, self.times.get((topic, partition, n), time.time()), r.key, r.value, r.headers)
            for n, r in enumerate(records, first)
        ]


class MemoryMember(TopicMember):
    def __init__(self, topics: MemoryTopicReader, group: str, topic: str, start: StartAt) -> None:
        self._topics, self._group, self._topic, self._start = topics, group, topic, start
        self._next: dict[int, int] = {}

    async def batch(self, most: int, within: float) -> list[Message]:
        deadline = time.monotonic() + within
        while True:
            found = self.there(most)
            if found or time.monotonic() >= deadline:
                return found
            await asyncio.sleep(0.005)

    async def stay(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def forget(self) -> None:
        self._next.clear()

    def there(self, most: int) -> list[Message]:
        owners = self._topics.owners[self._group]
        found: list[Message] = []
        for partition in range(len(self._topics.partitions(self._topic))):
            if owners.setdefault(partition, self) is not self:
                continue
            if partition not in self._next:
                self._next[partition] = self._topics.committed[self._group][partition] = self._first(partition)
            fresh = self._topics.messages(self._topic, partition, self._next[partition])[: most - len(found)]
            self._next[partition] += len(fresh)
            found += fresh
        return found

    def _first(self, partition: int) -> int:
        known = self._topics.committed[self._group].get(partition)
        if known is not None:
            return known
        messages = self._topics.messages(self._topic, partition, 0)
        if self._start.offset is not None:
            return min(self._start.offset, len(messages))
        if self._start.time is not None:
            later = [message.offset for message in messages if message.time >= self._start.time]
            return later[0] if later else len(messages)
        return 0 if self._start.where == "earliest" else len(messages)

    async def commit(self, messages: list[Message]) -> None:
        for message in messages:
            if self._topics.owners[self._group].get(message.partition) is self:
                known = self._topics.committed[self._group]
                known[message.partition] = max(known.get(message.partition, 0), message.offset + 1)

"""`TopicReader` over a Kafka: one consumer a member, each with a thread of its own, since the library's calls wait."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from interplay.adapters.kafka.connection import KafkaConnection, reading_error
from interplay.adapters.kafka.library import library
from interplay.core.errors import Unavailable
from interplay.core.triggers.messages import Message
from interplay.ports.topic_reader import StartAt, TopicMember

_ANSWER: Final = 10.0  # seconds that the broker has for an answer
_LONGEST_TURN_MS: Final = 600_000  # between two batches
T = TypeVar("T")


class KafkaTopicReader:
    """`session`: seconds unheard after which others take the partitions of a member."""

    def __init__(self, connection: KafkaConnection, session: float = 30.0) -> None:
        self._connection = connection
        self._session = session

    @contextlib.asynccontextmanager
    async def join(self, group: str, topic: str, start: StartAt) -> AsyncIterator[KafkaMember]:
        reader = KafkaMember(self._connection, group, topic, (start, self._session))
        try:
            yield reader
        finally:
            await reader.close()

    async def lag(self, group: str, topic: str) -> Mapping[int, int | None]:
        return await asyncio.to_thread(self._lag, group, topic)

    def _lag(self, group: str, topic: str) -> Mapping[int, int | None]:
        kafka = library()
        consumer = kafka.Consumer(self._connection.configured(group_id=group, enable_auto_commit=False))
        try:
            partitions = _partitions(consumer, topic)
            places = [kafka.TopicPartition(topic, number) for number in partitions]
            found: dict[int, int | None] = {}
            for place in consumer.committed(places, timeout=_ANSWER):
                _, end = consumer.get_watermark_offsets(kafka.TopicPartition(topic, place.partition), timeout=_ANSWER)
                found[place.partition] = end - place.offset if place.offset >= 0 else None
            return found
        except kafka.KafkaException as wrong:
            raise reading_error(wrong.args[0], topic) from None
        finally:
            consumer.close()


class KafkaMember(TopicMember):
    """Joins its group at the first batch. A partition's place is where the group committed, else where it starts."""

    def __init__(self, connection: KafkaConnection, group: str, topic: str, how: tuple[StartAt, float]) -> None:
        """`how`: where it starts, and its session's seconds."""
        self._connection, self._group, self._topic = connection, group, topic
        self._start, self._session = how
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-consumer")
        self._consumer: Any = None

    async def batch(self, most: int, within: float) -> list[Message]:
        return await self._in_thread(lambda: self._batch(most, within))

    async def commit(self, messages: list[Message]) -> None:
        ends: dict[int, int] = {}
        for message in messages:
            ends[message.partition] = max(ends.get(message.partition, 0), message.offset + 1)
        await self._in_thread(lambda: self._commit(ends))

    async def close(self) -> None:
        """Leaves the group, so that others take its partitions at once."""
        await self._in_thread(self._leave)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            await asyncio.wait({done})  # a consumer is used by one thread at a time, its close included
            if not done.cancelled():
                done.exception()
            raise

    # ------------------------------------------------------------------ in the thread

    def _joined(self) -> Any:
        if self._consumer is None:
            settings = self._connection.configured(
                group_id=self._group,
                enable_auto_commit=False,
                enable_auto_offset_store=False,
                auto_offset_reset="earliest",  # where the topic has lost what was committed: begin with what it has
                partition_assignment_strategy="cooperative-sticky",
                session_timeout_ms=int(self._session * 1000),
                max_poll_interval_ms=_LONGEST_TURN_MS,
                fetch_wait_max_ms=100,
            )
            consumer = library().Consumer(settings)
            try:
                _partitions(consumer, self._topic)
                consumer.subscribe([self._topic], on_assign=self._assigned)
            except library().KafkaException as wrong:
                consumer.close()
                raise reading_error(wrong.args[0], self._topic) from None
            except BaseException:
                consumer.close()
                raise
            self._consumer = consumer
        return self._consumer

    def _assigned(self, consumer: Any, places: list[Any]) -> None:
        """Where nothing was committed, the group begins where it should, and commits that: from then on a message is
        read even when nobody was there at the moment it came."""
        known = {place.partition: place.offset for place in consumer.committed(places, timeout=_ANSWER)}
        fresh = [place for place in places if known[place.partition] < 0]
        if self._start.time is not None and fresh:
            asked = [self._place(place.partition, int(self._start.time * 1000)) for place in fresh]
            found = {place.partition: place.offset for place in consumer.offsets_for_times(asked, timeout=_ANSWER)}
        else:
            found = {}
        for place in fresh:
            place.offset = self._first(consumer, place.partition, found.get(place.partition))
        consumer.incremental_assign(places)
        if fresh:
            consumer.commit(offsets=[self._place(p.partition, p.offset) for p in fresh], asynchronous=False)

    def _first(self, consumer: Any, partition: int, of_time: int | None) -> int:
        """Between the partition's first message and its end."""
        low, high = consumer.get_watermark_offsets(self._place(partition, 0), timeout=_ANSWER)
        wanted = of_time if of_time is not None and of_time >= 0 else self._start.offset
        if wanted is None:
            wanted = low if self._start.where == "earliest" and self._start.time is None else high
        return int(min(max(wanted, low), high))

    def _place(self, partition: int, offset: int) -> Any:
        return library().TopicPartition(self._topic, partition, offset)

    def _batch(self, most: int, within: float) -> list[Message]:
        """Waits for the first message, and takes what else is there."""
        consumer = self._joined()
        found: list[Message] = []
        deadline = time.monotonic() + within
        try:
            while not found and (left := deadline - time.monotonic()) > 0:
                for record in consumer.consume(1, left):
                    self._take(record, found)
            if found and most > 1:
                for record in consumer.consume(most - 1, 0.02):
                    self._take(record, found)
        except library().KafkaException as wrong:
            raise reading_error(wrong.args[0], self._topic) from None
        return found

    def _take(self, record: Any, found: list[Message]) -> None:
        error = record.error()
        if error is not None:
            if error.retriable() or error.code() == library().KafkaError._PARTITION_EOF:
                return
            raise reading_error(error, self._topic)
        _, milliseconds = record.timestamp()
        headers = tuple((str(name), value or b"") for name, value in record.headers() or ())
        place = (record.topic(), record.partition(), record.offset(), max(milliseconds, 0) / 1000)
        found.append(Message(*place, record.key(), record.value(), headers))

    def _commit(self, ends: Mapping[int, int]) -> None:
        kafka = library()
        try:
            self._consumer.commit(offsets=[self._place(*end) for end in ends.items()], asynchronous=False)
        except kafka.KafkaException as wrong:
            code = wrong.args[0].code()
            moved = (kafka.KafkaError.ILLEGAL_GENERATION, kafka.KafkaError.UNKNOWN_MEMBER_ID)
            if code in (*moved, kafka.KafkaError.REBALANCE_IN_PROGRESS, kafka.KafkaError._NO_OFFSET):
                return  # another member has them now, and reads again what was not committed
            raise reading_error(wrong.args[0], self._topic) from None

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def _partitions(consumer: Any, topic: str) -> list[int]:
    """Raises NotFound, InvalidInput, Unavailable."""
    kafka = library()
    try:
        described = consumer.list_topics(topic, timeout=_ANSWER).topics[topic]
    except kafka.KafkaException as wrong:
        raise reading_error(wrong.args[0], topic) from None
    if described.error is not None:
        raise reading_error(described.error, topic)
    if not described.partitions:
        raise Unavailable(f"Topic {topic!r} has no partitions yet.", retry_after=1.0)
    return sorted(described.partitions)

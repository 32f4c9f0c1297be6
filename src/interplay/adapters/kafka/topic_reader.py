"""`TopicReader` over a Kafka: one consumer a member, each with a thread of its own, since the library's calls wait."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from interplay.adapters.kafka.connection import KafkaConnection, made, reading_error
from interplay.adapters.kafka.library import admin_library, library
from interplay.adapters.kafka.own_thread import OwnThread
from interplay.core.errors import Unavailable
from interplay.core.triggers.messages import Message
from interplay.ports.topic_reader import StartAt, TopicMember

_LOG: Final = logging.getLogger("interplay.kafka")
_LEAVING: Final = 5.0  # seconds
_LAG: Final = 5.0  # seconds
_ANSWER: Final = 10.0  # seconds that the broker has for an answer
_MOST_BYTES: Final = 16 * 1024 * 1024  # of a batch, and of what the library reads ahead
_CHUNK: Final = 100  # messages between two looks at how many bytes they are
_LOOK: Final = 0.25  # seconds between two looks at which partitions are ours, while nothing is taken


class KafkaTopicReader:
    """`session`: seconds unheard after which others take the partitions of a member; `turn`: seconds between two
    batches after which they do."""

    def __init__(self, connection: KafkaConnection, session: float = 30.0, turn: float = 600.0) -> None:
        self._connection = connection
        self._session = session
        self._turn = turn
        self._thread = OwnThread("kafka-lag")

    @contextlib.asynccontextmanager
    async def join(self, group: str, topic: str, start: StartAt) -> AsyncIterator[KafkaMember]:
        reader = KafkaMember(self._connection, group, topic, (start, self._session, self._turn))
        try:
            yield reader
        finally:
            await reader.close()

    async def lag(self, group: str, topic: str) -> Mapping[int, int | None]:
        try:
            return await self._thread.run(lambda: self._lag(group, topic), _LAG)
        except TimeoutError:
            raise Unavailable(f"The broker did not answer within {_LAG:g} s.", retry_after=2.0) from None

    def _lag(self, group: str, topic: str) -> Mapping[int, int | None]:
        kafka = library()
        consumer = made(kafka.Consumer, self._connection.configured(group_id=group, enable_auto_commit=False))
        try:
            partitions = _partitions(consumer, topic)
            places = [kafka.TopicPartition(topic, number) for number in partitions]
            found: dict[int, int | None] = {}
            for place in _committed(consumer, places):
                _, end = consumer.get_watermark_offsets(kafka.TopicPartition(topic, place.partition), timeout=_ANSWER)
                found[place.partition] = end - place.offset if place.offset >= 0 else None
            return found
        except kafka.KafkaException as wrong:
            raise reading_error(wrong.args[0], topic) from None
        finally:
            consumer.close()


class KafkaMember(TopicMember):
    """Joins its group at the first batch. A partition's place is where the group committed, else its beginning."""

    def __init__(self, connection: KafkaConnection, group: str, topic: str, how: tuple[StartAt, float, float]) -> None:
        """`how`: where it starts, and its session's and its turn's seconds."""
        self._connection, self._group, self._topic = connection, group, topic
        self._start, self._session, self._turn = how
        self._thread = OwnThread("kafka-consumer")
        self._consumer: Any = None
        self._log = ""
        self._seen: dict[int, int] = {}  # the latest offset of each partition
        self._owed: dict[int, int] = {}  # ends that were not taken while the group shared out its partitions anew
        self._early: list[Message] = []  # came while nothing was wanted

    async def batch(self, most: int, within: float) -> list[Message]:
        return await self._thread.run(lambda: self._batch(most, within))

    async def commit(self, messages: list[Message]) -> None:
        ends: dict[int, int] = {}
        for message in messages:
            ends[message.partition] = max(ends.get(message.partition, 0), message.offset + 1)
        await self._thread.run(lambda: self._commit(ends))

    async def stay(self, seconds: float) -> None:
        await self._thread.run(lambda: self._stay(seconds))

    async def close(self) -> None:
        """Leaves the group, so that others take its partitions at once; with a broker that hangs, some time later."""
        try:
            await self._thread.run(self._leave, _LEAVING)
        except TimeoutError:
            _LOG.warning("a reader of %s leaves when the broker answers again", self._topic)
        finally:
            self._thread.end()

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
                socket_timeout_ms=int(_ANSWER * 1000),
                max_poll_interval_ms=int(self._turn * 1000),
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=_MOST_BYTES // 1024,
            )
            consumer = made(library().Consumer, settings)
            try:
                self._begin(consumer)
                consumer.subscribe(
                    [self._topic], on_assign=self._assigned, on_revoke=self._given_up, on_lost=self._lost
                )
            except library().KafkaException as wrong:
                consumer.close()
                raise reading_error(wrong.args[0], self._topic) from None
            except BaseException:
                consumer.close()
                raise
            self._consumer = consumer
        return self._consumer

    def _begin(self, consumer: Any) -> None:
        """A group that has nothing begins where it should, in every partition that the topic has by now, and commits
        that: what comes from then on is read, also in partitions that are added later."""
        kafka = library()
        places = [self._place(number, 0) for number in _partitions(consumer, self._topic)]
        if any(place.offset >= 0 for place in _committed(consumer, places)):
            return
        found: dict[int, int] = {}
        if self._start.time is not None:
            asked = [self._place(place.partition, int(self._start.time * 1000)) for place in places]
            found = {place.partition: place.offset for place in consumer.offsets_for_times(asked, timeout=_ANSWER)}
        for place in places:
            place.offset = self._first(consumer, place.partition, found.get(place.partition))
        try:
            consumer.commit(offsets=places, asynchronous=False)
        except kafka.KafkaException as wrong:
            if wrong.args[0].code() not in (kafka.KafkaError.UNKNOWN_MEMBER_ID, kafka.KafkaError.ILLEGAL_GENERATION):
                raise
            # the group has members: one of them has begun

    def _first(self, consumer: Any, partition: int, of_time: int | None) -> int:
        """Between the partition's first message and its end."""
        low, high = consumer.get_watermark_offsets(self._place(partition, 0), timeout=_ANSWER)
        wanted = of_time if of_time is not None and of_time >= 0 else self._start.offset
        if wanted is None:
            wanted = low if self._start.where == "earliest" and self._start.time is None else high
        return int(min(max(wanted, low), high))

    def _assigned(self, consumer: Any, places: list[Any]) -> None:
        """Asks anew which topic of the name it is: one that was made anew has the offsets of the old one again."""
        self._log = self._topic_id()
        consumer.incremental_assign(places)

    def _given_up(self, consumer: Any, places: list[Any]) -> None:
        """Others get these: the last moment to say how far they are."""
        with contextlib.suppress(Unavailable):
            self._commit({})
        self._lost(consumer, places)

    def _lost(self, _: Any, places: list[Any]) -> None:
        """Whoever has them by now is further, perhaps."""
        for place in places:
            self._owed.pop(place.partition, None)
        gone = {place.partition for place in places}
        self._early = [message for message in self._early if message.partition not in gone]

    def _topic_id(self) -> str:
        from confluent_kafka import TopicCollection

        admin = made(admin_library().AdminClient, self._connection.configured())
        asked = admin.describe_topics(TopicCollection([self._topic]), request_timeout=_ANSWER)
        return str(asked[self._topic].result(_ANSWER).topic_id)

    def _place(self, partition: int, offset: int) -> Any:
        return library().TopicPartition(self._topic, partition, offset)

    def _batch(self, most: int, within: float) -> list[Message]:
        """Waits for the first message, and takes what else is there."""
        consumer = self._joined()
        if self._owed:
            self._commit({})
        found, self._early = self._early[:most], self._early[most:]
        deadline = time.monotonic() + within
        try:
            while not found and (left := deadline - time.monotonic()) > 0:
                for record in consumer.consume(1, left):
                    self._take(record, found)
            while found and len(found) < most and sum(len(one.value or b"") for one in found) < _MOST_BYTES:
                more = consumer.consume(min(_CHUNK, most - len(found)), 0.02)
                for record in more:
                    self._take(record, found)
                if not more:
                    break
        except library().KafkaException as wrong:
            raise reading_error(wrong.args[0], self._topic) from None
        return found

    def _stay(self, seconds: float) -> None:
        """The library asks for nothing more; it is asked all the same, as it tells by that who is alive."""
        consumer = self._joined()
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0:
                consumer.pause(consumer.assignment())
                for record in consumer.consume(1, min(left, _LOOK)):
                    self._take(record, self._early)
            consumer.resume(consumer.assignment())
        except library().KafkaException as wrong:
            raise reading_error(wrong.args[0], self._topic) from None

    def _take(self, record: Any, found: list[Message]) -> None:
        error = record.error()
        if error is not None:
            if error.retriable() or error.code() == library().KafkaError._PARTITION_EOF:
                return
            raise reading_error(error, self._topic)
        if record.offset() <= self._seen.get(record.partition(), -1):
            self._log = self._topic_id()  # it begins again: the topic may have been made anew
            self._owed.pop(record.partition(), None)
        self._seen[record.partition()] = record.offset()
        _, milliseconds = record.timestamp()
        try:
            headers = tuple((str(name), value or b"") for name, value in record.headers() or ())
        except UnicodeDecodeError:  # a name that is no text: the message counts without its headers
            headers = ()
        place = (record.topic(), record.partition(), record.offset(), max(milliseconds, 0) / 1000)
        found.append(Message(*place, record.key(), record.value(), headers, self._log))

    def _commit(self, ends: Mapping[int, int]) -> None:
        """With what is owed from before. What is refused while the group shares out its partitions anew is owed until
        the next batch; what is another member's by then is read again there."""
        kafka = library()
        errors = kafka.KafkaError
        for partition, end in ends.items():
            self._owed[partition] = max(end, self._owed.get(partition, 0))
        if not self._owed:
            return
        again = (errors.ILLEGAL_GENERATION, errors.REBALANCE_IN_PROGRESS)
        try:
            done = self._consumer.commit(offsets=[self._place(*end) for end in self._owed.items()], asynchronous=False)
        except kafka.KafkaException as wrong:
            if wrong.args[0].code() in again:
                return
            if wrong.args[0].code() not in (errors.UNKNOWN_MEMBER_ID, errors._NO_OFFSET):
                raise reading_error(wrong.args[0], self._topic) from None
            self._owed.clear()  # it is no member any more: others have all of them
            return
        for place in done:
            if place.error is None or place.error.code() not in again:
                self._owed.pop(place.partition, None)

    def _leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def _committed(consumer: Any, places: list[Any]) -> list[Any]:
    """What the group committed. A broker that has just started looks for who keeps that, for a moment."""
    kafka = library()
    errors = kafka.KafkaError
    looking = (errors.NOT_COORDINATOR, errors.COORDINATOR_NOT_AVAILABLE, errors.COORDINATOR_LOAD_IN_PROGRESS)
    deadline = time.monotonic() + _ANSWER
    while True:
        try:
            return list(consumer.committed(places, timeout=_ANSWER))
        except kafka.KafkaException as wrong:
            if wrong.args[0].code() not in looking or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


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

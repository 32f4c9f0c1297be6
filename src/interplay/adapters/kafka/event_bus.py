"""Hints between processes by a topic. Where the broker does not take them they go the other way, through the ledger.

Every process reads all partitions from their ends, in no group: a hint is for whoever listens at the moment. Nothing is
committed, nothing is read again, and what is lost costs the time until the next look at the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from interplay.adapters.kafka.connection import KafkaConnection, made
from interplay.adapters.kafka.library import library
from interplay.contracts.events.v1 import Hint
from interplay.core.errors import InterplayError
from interplay.core.runs.topics import Subscriptions
from interplay.ports.event_bus import EventBus, Message

_LOG: Final = logging.getLogger("interplay.kafka")
_COALESCE: Final = 0.002  # seconds
_MOST_BYTES: Final = 100_000  # of a record
_MOST_QUEUED: Final = 10_000
_GIVEN_UP_MS: Final = 1_000  # a hint that is later than that is of no use
_AWAY: Final = 5.0  # seconds until the broker is tried again
_POLL: Final = 0.1  # seconds
_BATCH: Final = 500
_KEYS: Final = 64  # to which topics come down
_PAUSE: Final = 1.0  # seconds between two tries to read
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(list[Hint])
Pack = tuple[bytes, list[Hint]]  # a record: its key, and what is in it


class KafkaEventBus:
    """`otherwise`: the bus that listeners subscribe to, and that hints go to while the broker is away; it shares
    `subscriptions`, into which the topic's are delivered."""

    def __init__(
        self, connection: KafkaConnection, subscriptions: Subscriptions, otherwise: EventBus, topic: str
    ) -> None:
        self._connection = connection
        self._subscriptions = subscriptions
        self._otherwise = otherwise
        self._topic = topic
        self._queue: deque[Hint] = deque()
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = False
        self._producer: Any = None
        self.taken = False  # whether the broker takes hints
        self.reading = threading.Event()  # the topic is read from now on
        self.dropped = 0
        self.otherwise = 0  # hints that went the other way

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._try_again())]
        self._thread = threading.Thread(target=self._read, name="kafka-hints", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5.0)

    def publish(self, topic: str, message: Message) -> None:
        if not self.taken:
            self.otherwise += 1
            self._otherwise.publish(topic, message)
            return
        if len(self._queue) >= _MOST_QUEUED:
            self.dropped += 1
            self._queue.popleft()
        self._queue.append(Hint(topic, message))
        self._wanted.set()

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[tuple[str, Message]]]:
        async with self._otherwise.subscribe(*topics) as messages:
            yield messages

    # ------------------------------------------------------------------ out

    async def _send(self) -> None:
        while True:
            await self._wanted.wait()
            await asyncio.sleep(_COALESCE)
            self._wanted.clear()
            self._write(self._packed())

    async def _try_again(self) -> None:
        """While the broker is away it is asked with nothing, so that no hint waits for its answer."""
        while True:
            if not self.taken:
                self._write([(b"0", [])])
            await asyncio.sleep(_AWAY)

    def _packed(self) -> list[Pack]:
        """What is queued as few records as it fits into. Those of one topic have the same key, and keep their order:
        the words of a model are among them."""
        packs: dict[bytes, list[list[Hint]]] = {}
        sizes: dict[bytes, int] = {}
        while self._queue:
            hint = self._queue.popleft()
            key = b"%d" % (zlib.crc32(hint.topic.encode()) % _KEYS)
            size = len(hint.topic) + 64 + len(str(hint.message.get("text", "")))
            sizes[key] = sizes.get(key, _MOST_BYTES) + size
            if sizes[key] > _MOST_BYTES:
                packs.setdefault(key, []).append([])
                sizes[key] = size
            packs[key][-1].append(hint)
        return [(key, pack) for key, of_key in packs.items() for pack in of_key]

    def _write(self, packs: list[Pack]) -> None:
        try:
            self._produce(packs)
        except (library().KafkaException, BufferError, InterplayError) as wrong:  # a hint never fails anybody
            self._turn_away(str(wrong), [hint for _, pack in packs for hint in pack])
        except Exception:  # noqa: BLE001 - such as a text that no JSON can hold
            self.dropped += sum(len(pack) for _, pack in packs)
            _LOG.exception("hints are dropped")

    def _produce(self, packs: list[Pack]) -> None:
        if self._producer is None:
            settings = self._connection.configured(
                enable_idempotence=True,  # or a record that was sent again would come behind the next
                linger_ms=0,
                message_timeout_ms=_GIVEN_UP_MS,
                topic_metadata_propagation_max_ms=1000,
            )
            self._producer = made(library().Producer, settings)
        for key, pack in packs:
            self._producer.produce(
                self._topic,
                key=key,
                value=_ENCODER.encode(pack),
                on_delivery=lambda error, _, pack=pack: self._delivered(error, pack),
            )
        self._producer.poll(0)

    def _delivered(self, error: Any | None, pack: list[Hint]) -> None:
        """In whatever thread polls."""
        if self._loop is None or self._loop.is_closed():
            return
        if error is not None:
            self._loop.call_soon_threadsafe(self._turn_away, str(error.str()), pack)
        elif not pack:
            self._loop.call_soon_threadsafe(self._is_back)

    def _is_back(self) -> None:
        self.taken = True

    def _turn_away(self, why: str, hints: list[Hint]) -> None:
        if self.taken:
            _LOG.warning("hints go through the database for now: %s", why)
        self.taken = False
        self.otherwise += len(hints)
        for hint in hints:
            self._otherwise.publish(hint.topic, hint.message)

    # ------------------------------------------------------------------ in, in a thread

    def _read(self) -> None:
        while not self._closing:
            consumer: Any = None
            try:
                settings = self._connection.configured(
                    group_id="interplay-hints",
                    enable_auto_commit=False,
                    fetch_wait_max_ms=100,
                    fetch_error_backoff_ms=200,
                )
                consumer = made(library().Consumer, settings)
                self._follow(consumer)
            except (library().KafkaException, InterplayError) as wrong:
                self.reading.clear()
                _LOG.debug("hints are not read from the topic for now: %s", wrong)
                self._pause()
            finally:
                if consumer is not None:
                    consumer.close()

    def _follow(self, consumer: Any) -> None:
        place = library().TopicPartition
        metadata = consumer.list_topics(self._topic, timeout=_PAUSE).topics.get(self._topic)
        if metadata is None or metadata.error is not None or not metadata.partitions:
            self._pause()
            return
        # from where the ends are now, said in numbers: a place that is found out later would pass over what comes first
        places = [place(self._topic, number) for number in metadata.partitions]
        for one in places:
            one.offset = consumer.get_watermark_offsets(one, timeout=_PAUSE * 5)[1]
        consumer.assign(places)
        self.reading.set()
        while not self._closing:
            if self._producer is not None:
                self._producer.poll(0)
            found = consumer.consume(_BATCH, _POLL)
            values = [record.value() for record in found if record.error() is None]
            if values and self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._deliver, values)

    def _deliver(self, values: list[bytes]) -> None:
        for raw in values:
            try:
                hints = _DECODER.decode(raw or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # of a later release, or of somebody else: nothing is lost
            for hint in hints:
                self._subscriptions.deliver(hint.topic, hint.message)

    def _pause(self) -> None:
        until = time.monotonic() + _PAUSE
        while not self._closing and time.monotonic() < until:
            if self._producer is not None:
                self._producer.poll(_POLL)
            else:
                time.sleep(_POLL)

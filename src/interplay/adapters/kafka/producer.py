"""A thin bridge from asyncio to librdkafka's producer.

The library has threads of its own that send; `produce` never waits. One thread of ours asks for what was delivered
and tells the event loop of many records at once: a wake-up of the loop for each would cost more than the record.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import Any, Final

from interplay.adapters.kafka.connection import KafkaConnection, failure, made
from interplay.adapters.kafka.library import library
from interplay.core.errors import Unavailable
from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicPlace, TopicRecord

_LOG: Final = logging.getLogger("interplay.kafka")
_POLL: Final = 0.1  # seconds that the thread waits for something to tell
_MOST_BYTES: Final = 64 * 1024 * 1024
_MOST_UNDER_WAY: Final = 50_000  # records
Delivered = tuple[Any, "asyncio.Future[TopicPlace]", Any | None, Any]


def _ended(error: Any) -> bool:
    """Whether the library writes nothing more with the producer that met it."""
    return bool(error.fatal()) or error.code() == library().KafkaError._FATAL


class KafkaProducer:
    """Idempotent: the broker writes a record that the library sent twice once, and keeps its order in a partition.

    `patience`: seconds until a record that the broker does not take is given up. `gapless`: then whatever was to
    come behind it is given up, too.
    """

    def __init__(self, connection: KafkaConnection, patience: float = 30.0, *, gapless: bool = False) -> None:
        self._connection = connection
        self._patience = patience
        self._gapless = gapless
        self._producer: Any = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._delivered: deque[Delivered] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Semaphore(_MOST_UNDER_WAY)
        self._under_way: dict[asyncio.Future[TopicPlace], Any] = {}  # and the producer of each

    async def send(self, record: TopicRecord) -> TopicPlace:
        """As `TopicWriter.write`."""
        async with self._room:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[TopicPlace] = loop.create_future()
            try:
                producer = self._started(loop)
            except Unavailable as wrong:
                raise StepFailure("unavailable", wrong.detail, advice=wrong.advice) from None
            self._under_way[done] = producer
            try:
                producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    on_delivery=lambda error, message: self._note((producer, done, error, message)),
                )
                return await done
            except library().KafkaException as refused:
                if _ended(refused.args[0]):
                    self._begin_anew(producer, refused.args[0].str())
                raise failure(refused.args[0], record.topic) from None
            except BufferError:
                raise StepFailure("unavailable", "Too much waits for the broker already.", retry_after=1.0) from None
            except (TypeError, ValueError) as wrong:
                raise StepFailure("bad_request", f"That is no record for {record.topic!r}: {wrong}.") from None
            finally:
                del self._under_way[done]

    async def close(self) -> None:
        """Waits for what is under way, as long as patience lasts."""
        self._closing = True
        thread, self._thread, self._producer = self._thread, None, None
        if thread is not None:
            await asyncio.to_thread(thread.join)

    def _started(self, loop: asyncio.AbstractEventLoop) -> Any:
        if self._producer is None:
            if self._closing:
                raise StepFailure("unavailable", "This process ends.")
            self._loop = loop
            settings = self._connection.configured(
                enable_idempotence=True,
                enable_gapless_guarantee=self._gapless,
                delivery_timeout_ms=int(self._patience * 1000),
                linger_ms=2,
                message_max_bytes=_MOST_BYTES,  # how large a record may be is for its topic to say
                compression_type="lz4",
                topic_metadata_propagation_max_ms=2000,  # how long an unknown topic may be one that was just made
            )
            self._producer = made(library().Producer, settings)
            self._thread = threading.Thread(target=self._poll, args=(self._producer,), name="kafka", daemon=True)
            self._thread.start()
        return self._producer

    # in the thread

    def _poll(self, producer: Any) -> None:
        """Ends with the producer. What the library cannot go on from is raised here, and nobody hears of the records
        that are under way then."""
        try:
            while producer is self._producer or len(producer):
                producer.poll(_POLL)
        except library().KafkaException as fatal:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._begin_anew, producer, fatal.args[0].str())

    def _note(self, delivered: Delivered) -> None:
        self._delivered.append(delivered)
        if len(self._delivered) == 1 and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)

    # on the loop

    def _tell(self) -> None:
        for _ in range(len(self._delivered)):
            producer, done, error, message = self._delivered.popleft()
            if done.done():
                continue
            if error is None:
                done.set_result(TopicPlace(message.topic(), message.partition(), message.offset()))
            else:
                if _ended(error):
                    self._begin_anew(producer, error.str())
                done.set_exception(failure(error, message.topic()))
        if self._delivered and self._loop is not None:
            self._loop.call_soon(self._tell)

    def _begin_anew(self, producer: Any, why: str) -> None:
        """The broker forgot who we are, so nothing more would be written by this producer: the next is another one."""
        if self._producer is producer:
            _LOG.error("the producer is given up: %s", why)
            self._producer = None
        for done in [done for done, its in self._under_way.items() if its is producer and not done.done()]:
            done.set_exception(StepFailure("unavailable", f"The broker did not say whether it has the record: {why}."))

"""A producer that the library cannot go on with: the next is another one, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicRecord
from tests.kafka_server import records_of
from tools.kafka import KafkaBroker

OUT_OF_ORDER = 45


def make_fatal(producer: Any) -> None:
    """By librdkafka's own hook for tests: as after the broker lost what it had of this producer."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(folder.glob("librdkafka*.so*"))))
    library.rd_kafka_test_fatal_error.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p]
    handle = ctypes.c_void_p.from_address(id(producer) + 16).value
    assert library.rd_kafka_test_fatal_error(handle, OUT_OF_ORDER, b"of a test") == 0


class TestAFatalError:
    @pytest.mark.parametrize("gapless", [False, True])
    async def test_the_next_record_is_written_by_another_producer(
        self, kafka: KafkaBroker, topic: str, gapless: bool
    ) -> None:
        producer = KafkaProducer(KafkaConnection(kafka.bootstrap), gapless=gapless)
        try:
            await producer.send(TopicRecord(topic, b"1"))
            first = producer._producer
            make_fatal(first)
            with contextlib.suppress(StepFailure):  # this one is told of it, or comes behind that
                await producer.send(TopicRecord(topic, b"lost"))
            async with asyncio.timeout(30):
                await producer.send(TopicRecord(topic, b"2"))
            assert producer._producer is not first
            assert records_of(kafka, topic, 0)[-1][1] == b"2"
            assert not producer._under_way
        finally:
            async with asyncio.timeout(10):
                await producer.close()

"""The event log on a topic: one record an event, keyed by its run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from interplay.adapters.kafka.producer import KafkaProducer
from interplay.contracts.events.v1 import CONTENT_TYPE, RUN_TYPE, RunData, RunEvent, decode_run, encode, moment
from interplay.core.errors import InterplayError, InvalidInput, NotFound, Unavailable
from interplay.core.failures import StepFailure
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent
from interplay.ports.topic_writer import TopicRecord

HEADERS: Final = (("content-type", CONTENT_TYPE),)
_KINDS: Final = {RUN_TYPE + kind.wire_name: kind for kind in EventKind}


class KafkaEventLog:
    """`producer`: one that leaves no gap, or events of a run may come out of their order."""

    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        records = [TopicRecord(self._topic, record_of(event), str(event.run_id).encode(), HEADERS) for event in events]
        await send_all(self._producer, records)


async def send_all(producer: KafkaProducer, records: Sequence[TopicRecord]) -> None:
    """Returns when the broker has all of them. Raises Unavailable, NotFound, InvalidInput."""
    answers = await asyncio.gather(*map(producer.send, records), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, StepFailure):
            raise _in_our_words(answer)
        if isinstance(answer, BaseException):
            raise answer


def _in_our_words(failed: StepFailure) -> InterplayError:
    failure = failed.failure
    if failure.code == "not_found":
        return NotFound(failure.detail, advice="`interplay migrate` makes the topics of Interplay.")
    if failure.code == "bad_request":
        return InvalidInput(failure.detail, advice=failure.advice)
    return Unavailable(failure.detail, retry_after=2.0)


def record_of(event: LoggedEvent) -> bytes:
    """An event as it stands on the topic."""
    run = str(event.run_id)
    data = RunData(
        run=run,
        seq=event.seq,
        project=event.project_id,
        flow=event.flow,
        version=event.version,
        step=event.step,
        attempt=event.attempt,
        facts=event.facts,
        left_out=list(event.left_out),
    )
    return encode(
        RunEvent(
            id=event.identity,
            source=f"/projects/{event.project_id}",
            type=RUN_TYPE + event.kind.wire_name,
            subject=run,
            time=moment(event.at),
            data=data,
        )
    )


def event_of(raw: bytes | None) -> LoggedEvent | None:
    """The event of a record; None for a kind that this release does not know. Raises InvalidInput for what is none."""
    try:
        found = decode_run(raw or b"")
        kind = _KINDS.get(found.type)
        if kind is None:
            return None
        data = found.data
        return LoggedEvent(
            UUID(data.run),
            data.seq,
            kind,
            found.time.timestamp(),
            data.project,
            data.flow,
            data.version,
            data.step,
            data.attempt,
            data.facts,
            tuple(data.left_out),
        )
    except (msgspec.DecodeError, ValueError, RecursionError, OverflowError) as wrong:
        raise InvalidInput(f"It is no event of a run: {wrong}.") from None

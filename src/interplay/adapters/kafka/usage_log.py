"""Usage records on a topic, keyed by their run, or by themselves where there is none."""

from __future__ import annotations

from collections.abc import Sequence

from interplay.adapters.kafka.event_log import HEADERS, send_all
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.contracts.events.v1 import USAGE_TYPE, UsageData, UsageEvent, encode, moment
from interplay.core.models.usage_record import UsageRecord
from interplay.ports.topic_writer import TopicRecord


class KafkaUsageLog:
    def __init__(self, producer: KafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def publish(self, records: Sequence[UsageRecord]) -> None:
        sent = [
            TopicRecord(self._topic, _record_of(one), str(one.run_id or one.record_id).encode(), HEADERS)
            for one in records
        ]
        await send_all(self._producer, sent)


def _record_of(record: UsageRecord) -> bytes:
    usage = record.usage
    data = UsageData(
        record=str(record.record_id),
        project=record.project_id,
        key=str(record.key_id) if record.key_id is not None else None,
        model=record.alias,
        deployment=record.deployment,
        flow=record.flow,
        run=str(record.run_id) if record.run_id is not None else None,
        status=record.status,
        outcome=record.outcome,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        image_tokens=usage.image_tokens,
        audio_tokens=usage.audio_tokens,
        calls=usage.calls,
        usd=usage.usd,
        seconds=record.seconds,
        first_token=record.first_token,
        cached=record.cached,
        attempts=record.attempts,
        estimated=record.estimated,
    )
    identity = str(record.record_id)
    return encode(
        UsageEvent(
            id=identity,
            source=f"/projects/{record.project_id}",
            type=USAGE_TYPE,
            subject=identity,
            time=moment(record.at),
            data=data,
        )
    )

"""The part of the composition that publishes and records what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from interplay.adapters.kafka.event_log import event_of
from interplay.bootstrap_kafka import Broker
from interplay.core.topics_of_ours import RUNS, named
from interplay.ports.log_store import LogStore
from interplay.ports.usage_store import UsageStore
from interplay.use_cases.publish_usage import PublishUsage
from interplay.use_cases.record_events import RecordEvents, RecordTopic, Taker, metric_lines
from interplay.use_cases.sweep_log import SweepLog


@dataclass(slots=True)
class Recorder:
    """Everything that a recorder does. `topic` and `usage` None: there is no broker, and the ledger is the log."""

    record: RecordEvents
    sweep: SweepLog
    topic: RecordTopic | None
    usage: PublishUsage | None

    async def run(self) -> None:
        """Until `stop`, or until a part of it fails."""
        async with asyncio.TaskGroup() as parts:
            for part in self._parts:
                parts.create_task(part.run())

    def stop(self) -> None:
        for part in self._parts:
            part.stop()

    @property
    def _parts(self) -> list[SweepLog | RecordTopic | PublishUsage]:
        return [part for part in (self.sweep, self.topic, self.usage) if part is not None]

    async def ready(self) -> None:
        """Returns once it has looked at everything that it works with."""
        await self.sweep.ready.wait()
        if self.topic is not None:
            await self.topic.ready.wait()

    def reasons(self) -> dict[str, str]:
        """What it waits for, by part; empty: nothing."""
        found = {"unpublished": self.sweep.away}
        if self.topic is not None:
            found["topic"] = self.topic.away
        if self.usage is not None:
            found["usage"] = self.usage.away
        return {name: reason for name, reason in found.items() if reason is not None}

    def metrics(self) -> list[str]:
        lines = metric_lines(self.record.counted)
        lines += [
            f"interplay_events_swept_total {self.sweep.swept}",
            f"interplay_runs_unpublished {self.sweep.unpublished}",
            f"interplay_runs_unpublishable {self.sweep.set_aside}",
        ]
        return lines if self.usage is None else [*lines, f"interplay_usage_published_total {self.usage.published}"]


def make_recorder(
    broker: Broker, store: LogStore, usage: UsageStore, takers: Sequence[Taker], namespace: str
) -> Recorder:
    """`namespace`: of the topic and of the group that reads it."""
    record = RecordEvents(takers)
    if broker.events is None or broker.usage is None or broker.readers is None:
        return Recorder(record, SweepLog(store, record, patient=False), None, None)
    return Recorder(
        record,
        SweepLog(store, broker.events, patient=True),
        RecordTopic(broker.readers, named(RUNS, namespace), event_of, record, f"{namespace}-recorder"),
        PublishUsage(usage, broker.usage),
    )

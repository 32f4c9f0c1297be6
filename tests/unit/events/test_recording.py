"""The recorder over a topic in memory: what it cannot read or hand on is told and passed over, and blocks nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from interplay.adapters.kafka.event_log import event_of, record_of
from interplay.adapters.memory.topic_reader import MemoryTopicReader
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent
from interplay.ports.topic_writer import TopicRecord
from interplay.use_cases.record_events import RecordEvents, RecordTopic

RUN = UUID("0198c0de-0000-7000-8000-000000000001")


class Picky:
    """Takes all but one event, and nothing while it is `away`."""

    def __init__(self, refuses: int) -> None:
        self.refuses, self.away = refuses, 0
        self.taken: list[int] = []

    async def take(self, events: Sequence[LoggedEvent]) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("The database does not answer.")
        if any(event.seq == self.refuses for event in events):
            raise InvalidInput("A value cannot be kept.")
        self.taken += [event.seq for event in events]


def record(seq: int) -> TopicRecord:
    event = LoggedEvent(RUN, seq, EventKind.STEP_SUCCEEDED, 1.0, 1, "f", "ab" * 32, "a", 1, {})
    return TopicRecord("runs", record_of(event), str(RUN).encode())


async def recorded(taker: Picky, records: Sequence[TopicRecord], end: int) -> RecordEvents:
    """What became of the topic once all of it is committed."""
    writer = MemoryTopicWriter()
    writer.make("runs")
    for one in records:
        await writer.write(one)
    readers, record_events = MemoryTopicReader(writer), RecordEvents([taker])
    topic = RecordTopic(readers, "runs", event_of, record_events, "recorders")
    working = asyncio.create_task(topic.run())
    async with asyncio.timeout(20):
        while readers.committed["recorders"].get(0, 0) < end:
            await asyncio.sleep(0.005)
    topic.stop()
    await working
    return record_events


class TestPoison:
    async def test_one_that_nobody_can_take_is_passed_over_and_the_others_come_in_order(self) -> None:
        taker = Picky(refuses=4)
        found = await recorded(taker, [record(seq) for seq in range(1, 9)], 8)
        assert taker.taken == [1, 2, 3, 5, 6, 7, 8]
        assert found.counted.unreadable == 1

    async def test_so_is_one_that_cannot_be_read(self) -> None:
        taker = Picky(refuses=0)
        records = [record(1), TopicRecord("runs", b"{", None), TopicRecord("runs", None, None), record(2)]
        found = await recorded(taker, records, 4)
        assert (taker.taken, found.counted.unreadable) == ([1, 2], 2)

    async def test_a_ledger_that_is_away_is_no_reason_to_pass_over_anything(self) -> None:
        taker = Picky(refuses=0)
        taker.away = 2
        found = await recorded(taker, [record(seq) for seq in range(1, 4)], 3)
        assert (taker.taken, found.counted.unreadable) == ([1, 2, 3], 0)

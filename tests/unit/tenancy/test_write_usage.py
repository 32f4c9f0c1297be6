"""Usage records on their way to the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.usage_spill import MemoryUsageSpill
from interplay.adapters.memory.usage_store import MemoryUsageStore
from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.ids import derived_uuid
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.ports.usage_store import UsageQuery
from interplay.use_cases.write_usage import BATCH, MOST, RETRY, UsageWriter

PROCESS = derived_uuid("process")


class Store(MemoryUsageStore):
    """The twin, which can be away, and refuses one alias."""

    away = False
    batches: list[int]

    async def write(self, process_id: UUID, records: Sequence[UsageRecord]) -> int:
        if self.away:
            raise Unavailable("The database does not answer.")
        if any(record.alias == "poison" for record in records):
            raise InvalidInput("A value cannot be kept.")
        self.batches.append(len(records))
        return await super().write(process_id, records)


class Bench:
    def __init__(self, pages: int = 1000) -> None:
        self.clock = ManualClock()
        self.store = Store(self.clock)
        self.store.batches = []
        self.spill = MemoryUsageSpill(pages)
        self.writer = UsageWriter(self.store, self.spill, self.clock, PROCESS)
        self._made = 0

    def record(self, count: int = 1, **more: Any) -> None:
        for _ in range(count):
            self._made += 1
            usage = Usage(10, 1, calls=1, usd=0.5)
            fields: dict[str, Any] = {"at": 1.0, "project_id": 1, "alias": "small", "usage": usage, **more}
            self.writer.record(UsageRecord(derived_uuid(str(self._made)), **fields))

    async def calls(self) -> int:
        return (await self.store.sums(UsageQuery(1)))[0].calls

    async def running(self, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self.writer.run())
        try:
            async with asyncio.timeout(20):
                await work()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, count: int) -> None:
        while await self.calls() < count:
            await asyncio.sleep(0.01)


class TestUsageWriter:
    async def test_a_record_is_written_soon(self) -> None:
        bench = Bench()
        bench.record(3)
        await bench.running(lambda: bench.until(3))
        assert bench.store.batches == [3]

    async def test_many_are_written_in_batches(self) -> None:
        bench = Bench()
        bench.record(2 * BATCH + 5)
        await bench.running(lambda: bench.until(2 * BATCH + 5))
        assert bench.store.batches == [BATCH, BATCH, 5]

    async def test_at_the_end_nothing_is_left_behind(self) -> None:
        bench = Bench()
        bench.record(10)
        await bench.writer.close()
        assert await bench.calls() == 10

    async def test_an_outage_loses_nothing(self) -> None:
        bench = Bench()
        bench.store.away = True

        async def outage() -> None:
            bench.record(50)
            await asyncio.sleep(0.3)  # long enough to be set aside
            bench.record(50)
            while bench.writer.waiting or len(await bench.spill.pages()) < 2:
                await asyncio.sleep(0.01)
            bench.store.away = False
            bench.clock.advance(RETRY)
            bench.record(1)
            await bench.until(101)

        await bench.running(outage)
        assert await bench.calls() == 101
        assert bench.writer.lost == 0
        assert await bench.spill.pages() == []

    async def test_what_an_earlier_process_left_is_read_at_the_start(self) -> None:
        bench = Bench()
        await bench.spill.append(PROCESS, [UsageRecord(derived_uuid("old"), 1.0, 1)])
        await bench.running(lambda: bench.until(1))
        assert await bench.spill.pages() == []

    async def test_while_it_is_away_it_is_not_asked_for_each_batch(self) -> None:
        bench = Bench()
        bench.store.away = True
        for _ in range(5):
            bench.record(5)
            await bench.writer.flush()
        bench.store.away = False
        bench.record(5)
        await bench.writer.flush()
        assert bench.store.batches == []
        bench.clock.advance(RETRY)
        bench.record(5)
        await bench.writer.flush()
        assert bench.store.batches == [5]

    async def test_without_any_room_what_is_lost_is_counted(self) -> None:
        bench = Bench(pages=1)
        bench.store.away = True
        for _ in range(3):
            bench.record(4)
            await bench.writer.flush()
        assert bench.writer.lost == 8

    async def test_memory_is_bounded(self) -> None:
        bench = Bench()
        bench.record(MOST + 7)
        assert (bench.writer.waiting, bench.writer.lost) == (MOST, 7)

    async def test_one_that_cannot_be_kept_stops_no_other(self) -> None:
        bench = Bench()
        bench.record(10)
        bench.record(alias="poison")
        bench.record(10)
        await bench.writer.close()
        assert await bench.calls() == 20
        assert bench.writer.lost == 1

    async def test_calls_without_a_known_price_are_counted(self) -> None:
        bench = Bench()
        bench.record(2, usage=Usage(10, 1, calls=1))
        bench.record(usage=Usage(10, 1, calls=1), cached="exact")
        bench.record(usage=Usage(calls=1))
        assert bench.writer.unpriced == 2

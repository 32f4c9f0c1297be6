"""The scheduler's loop, over stores in memory and a clock that the test holds."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.adapters.memory.schedule_store import MemoryScheduleStore
from interplay.core.errors import InvalidInput, NotFound, Unavailable
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import decode_value
from interplay.core.schedules.schedule import Schedule
from interplay.ports.run_store import RunFilter
from interplay.ports.schedule_store import Agenda, NewSchedule
from interplay.use_cases.fire_schedules import POLL, TOPIC, PrepareFire, Scheduler, metric_lines
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.manage_schedules import ManageSchedules
from interplay.use_cases.save_flow import FlowSource, SaveFlow
from interplay.use_cases.submit_run import SubmitRun

FLOW = "flow: f\ninputs: {at: string}\nsteps: {a: {set: {x: $inputs.at}}}\noutput: $a.x\n"
HOURLY = Schedule("0 * * * *", "f", inputs={"at": "$fire.scheduled_for"})


class Clockwork:
    def __init__(self) -> None:
        self.clock = ManualClock(1_774_785_000.0)  # 2026-03-29T11:50:00Z
        self.bus = MemoryEventBus()
        ledger, self._count = MemoryLedger(self.clock), 0
        self.runs, flows = MemoryRunStore(ledger), MemoryFlowStore(self.clock)
        self.schedules = MemoryScheduleStore(ledger, self.runs)
        plans = PlanLoader(flows)
        self.save = SaveFlow(flows, MemoryModelRegistry(MemoryConfigLedger()), plans)
        self.prepare = PrepareFire(SubmitRun(self.runs, flows, plans, self.bus, self._new_id), self._new_id)
        self.manage = ManageSchedules(self.schedules, self.prepare, self.bus, self._new_id)

    def _new_id(self) -> Any:
        self._count += 1
        return derived_uuid("test", str(self._count))

    def scheduler(self, schedules: Any = None) -> Scheduler:
        return Scheduler(schedules or self.schedules, self.prepare, self.bus, random.Random(1))

    async def put(self, name: str = "s", schedule: Schedule = HOURLY) -> None:
        await self.manage.put(NewSchedule(self._new_id(), 1, name, schedule))

    async def inputs(self) -> list[Any]:
        """Of the runs that were made, the oldest first."""
        found = await self.runs.page(1, RunFilter(), 1000)
        ordered = sorted(found, key=lambda record: record.labels["scheduled_for"])
        return [decode_value(record.input or b"") for record in ordered]


@pytest.fixture
async def clockwork() -> Clockwork:
    made = Clockwork()
    await made.save.save(1, FlowSource(FLOW))
    return made


class TestRound:
    async def test_it_sleeps_until_the_earliest_and_no_longer_than_a_poll(self, clockwork: Clockwork) -> None:
        scheduler = clockwork.scheduler()
        assert await scheduler.round() == POLL
        await clockwork.put()
        assert await scheduler.round() == POLL
        clockwork.clock.advance(599)
        assert await scheduler.round() == 1.0

    async def test_what_is_due_is_made_and_counted(self, clockwork: Clockwork) -> None:
        await clockwork.put()
        clockwork.clock.advance(601)
        scheduler = clockwork.scheduler()
        assert await scheduler.round() == 0.0
        assert await clockwork.inputs() == [{"at": "2026-03-29T12:00:00+00:00"}]
        lines = metric_lines(scheduler.counted)
        assert 'interplay_schedule_fires_total{outcome="run"} 1' in lines
        assert 'interplay_schedule_late_seconds_bucket{le="0.5"} 0' in lines
        assert 'interplay_schedule_late_seconds_bucket{le="1"} 1' in lines
        assert "interplay_schedule_late_seconds_count 1" in lines

    async def test_an_outage_is_made_up_for_in_order(self, clockwork: Clockwork) -> None:
        await clockwork.put(schedule=Schedule("0 * * * *", "f", inputs=HOURLY.inputs, catch_up="all", overlap="allow"))
        clockwork.clock.advance(600 + 3 * 3600 + 5)
        await clockwork.scheduler().round()
        assert [entry["at"][11:16] for entry in await clockwork.inputs()] == ["12:00", "13:00", "14:00", "15:00"]

    async def test_one_that_breaks_is_left_for_a_while_and_holds_up_no_other(
        self, clockwork: Clockwork, caplog: pytest.LogCaptureFixture
    ) -> None:
        await clockwork.put("well")
        await clockwork.put("ill")
        row = clockwork.schedules._rows[1, "ill"]
        row.record = replace(row.record, schedule=Schedule("0 * * * *", "f", zone="Mars/Olympus"))
        clockwork.clock.advance(601)
        scheduler = clockwork.scheduler()
        await scheduler.round()
        assert len(await clockwork.inputs()) == 1
        assert scheduler.counted.outcomes == {"run": 1, "error": 1}
        assert "cannot be fired by this process" in caplog.text
        assert await scheduler.round() == POLL


class TestLoop:
    async def test_a_hint_wakes_it(self, clockwork: Clockwork) -> None:
        asked = asyncio.Event()

        class Asked(MemoryScheduleStore):
            async def agenda(self, most: int) -> Agenda:
                asked.set()
                return Agenda((), 3600.0, False)

        scheduler = clockwork.scheduler(Asked(MemoryLedger(clockwork.clock), clockwork.runs))
        task = asyncio.create_task(scheduler.run())
        await scheduler.ready.wait()
        asked.clear()
        clockwork.bus.publish(TOPIC, {})
        async with asyncio.timeout(POLL / 2):
            await asked.wait()
        scheduler.stop()
        async with asyncio.timeout(POLL / 2):
            await task

    async def test_while_the_ledger_is_away_it_says_so(self, clockwork: Clockwork) -> None:
        class Away(MemoryScheduleStore):
            async def agenda(self, most: int) -> Agenda:
                raise Unavailable("It is down.")

        scheduler = clockwork.scheduler(Away(MemoryLedger(clockwork.clock), clockwork.runs))
        task = asyncio.create_task(scheduler.run())
        async with asyncio.timeout(5):
            while scheduler.away is None:
                await asyncio.sleep(0)
        assert scheduler.away == "It is down."
        assert not scheduler.ready.is_set()
        scheduler.stop()
        await task


class TestPut:
    @pytest.mark.parametrize(
        ("schedule", "error"),
        [
            (Schedule("0 * * * *", "f"), InvalidInput),
            (Schedule("0 * * * *", "g"), NotFound),
            (Schedule("0 * * * *", "f", channel="prod", inputs=HOURLY.inputs), NotFound),
        ],
    )
    async def test_what_its_fires_would_run_into_is_said_at_once(
        self, clockwork: Clockwork, schedule: Schedule, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            await clockwork.put(schedule=schedule)
        assert await clockwork.schedules.page(1, 10) == []

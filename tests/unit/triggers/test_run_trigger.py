"""A trigger at work over topics and a ledger in memory: what a death at each edge leaves behind."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.adapters.memory.topic_reader import MemoryTopicReader
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.adapters.memory.trigger_store import MemoryTriggerStore
from interplay.core.errors import Unavailable
from interplay.core.triggers.trigger import Trigger
from interplay.ports.topic_writer import TopicRecord
from interplay.ports.trigger_store import KeptTrigger, NewTrigger
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.run_trigger import RunTrigger
from interplay.use_cases.save_flow import FlowSource, SaveFlow
from interplay.use_cases.submit_run import SubmitRun
from interplay.use_cases.trigger_work import TriggerParts

FLOW = "flow: note\ninputs: {n: integer}\nsteps:\n  out: {set: {n: $inputs.n}}\noutput: {n: $out.n}\n"
_IDS = itertools.count(1)


def new_id() -> UUID:
    return UUID(int=next(_IDS))


class World:
    """Messages `{"n": 0}`, `{"n": 1}` and so on of one topic, and what became of them."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.ledger = MemoryLedger(clock)
        self.writer = MemoryTopicWriter()
        self.readers = MemoryTopicReader(self.writer)
        self.store = MemoryTriggerStore()
        self.runs: Any = MemoryRunStore(self.ledger)
        self.flows = MemoryFlowStore(clock)
        self.bus = MemoryEventBus()
        for topic in ("notes", "dead"):
            self.writer.make(topic)

    async def trigger(self, **options: Any) -> KeptTrigger:
        plans = PlanLoader(self.flows)
        registry = MemoryModelRegistry()
        await SaveFlow(self.flows, registry, plans).save(1, FlowSource(FLOW))
        fields = {"inputs": {"n": "$message.value.n"}, "start": "earliest", "dead_letters": "dead", "batch": 4}
        trigger = Trigger("notes", "note", **{**fields, **options})
        kept, _ = await self.store.put(NewTrigger(new_id(), 1, "notes", trigger, None))
        return kept

    async def write(self, *values: bytes) -> None:
        for value in values:
            await self.writer.write(TopicRecord("notes", value))

    def work(self, kept: KeptTrigger) -> RunTrigger:
        submit = SubmitRun(self.runs, self.flows, PlanLoader(self.flows), self.bus, new_id)
        return RunTrigger(TriggerParts(self.store, self.readers, self.writer, submit, self.runs, self.bus), kept)

    @property
    def started(self) -> list[str]:
        """The messages that have a run, in their order."""
        return sorted(row.new.labels["message"] for row in self.ledger.runs.values())


async def works_until(world: World, kept: KeptTrigger, done: Callable[[], bool]) -> None:
    """One process that works on it, and ends like one that is killed once `done`."""
    working = asyncio.create_task(world.work(kept).run())
    try:
        async with asyncio.timeout(10):
            while not done():
                await asyncio.sleep(0)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


def committed(world: World, kept: KeptTrigger) -> int:
    return world.readers.committed[kept.group].get(0, 0)


async def messages(world: World, count: int) -> None:
    await world.write(*(b'{"n": %d}' % number for number in range(count)))


class Dies(BaseException):
    """As a process does: nothing catches it."""


class TestEdges:
    @pytest.mark.parametrize("edge", ["before the runs", "after the runs", "after the dead letters"])
    async def test_a_death_at_any_edge_loses_nothing_and_starts_nothing_twice(self, edge: str) -> None:
        world = World()
        kept = await world.trigger()
        await messages(world, 3)
        await world.write(b"poison")
        runs, create, write = world.runs, world.runs.create, world.writer.write

        class Dying:
            async def create(self, new: Any, whole: Any = None) -> Any:
                if edge == "before the runs":
                    raise Dies
                made = await create(new, whole)
                if edge == "after the runs":
                    raise Dies
                return made

            queued = runs.queued

        async def dying_write(record: TopicRecord) -> Any:
            place = await write(record)
            if edge == "after the dead letters" and record.topic == "dead":
                raise Dies
            return place

        world.runs, world.writer.write = Dying(), dying_write  # type: ignore[method-assign]
        with pytest.raises(Dies):
            await world.work(kept).run()
        assert committed(world, kept) == 0
        world.runs, world.writer.write = runs, write  # type: ignore[method-assign]
        await works_until(world, kept, lambda: committed(world, kept) == 4)
        assert world.started == [f"notes:0:{offset}" for offset in range(3)]
        letters = [record.value for record in world.writer.topics["dead"][0]]
        assert set(letters) == {b"poison"}

    async def test_what_is_committed_has_its_run(self) -> None:
        world = World()
        kept = await world.trigger(batch=1)
        await messages(world, 40)
        for wanted in range(1, 40):
            await works_until(world, kept, lambda wanted=wanted: committed(world, kept) >= wanted)
            assert len(world.started) >= committed(world, kept)
        await works_until(world, kept, lambda: committed(world, kept) == 40)
        assert len(world.started) == 40

    async def test_an_offset_that_was_set_back_starts_nothing_again(self) -> None:
        world = World()
        kept = await world.trigger()
        await messages(world, 6)
        await works_until(world, kept, lambda: committed(world, kept) == 6)
        world.readers.committed[kept.group][0] = 0
        await works_until(world, kept, lambda: committed(world, kept) == 6)
        assert len(world.started) == 6

    async def test_and_nothing_again_when_the_trigger_was_changed_meanwhile(self) -> None:
        world = World()
        kept = await world.trigger()
        await messages(world, 2)
        await works_until(world, kept, lambda: committed(world, kept) == 2)
        world.readers.committed[kept.group][0] = 0
        changed = await world.trigger(inputs={"n": "${ message.value.n + 100 }"})
        await works_until(world, changed, lambda: committed(world, changed) == 2)
        assert len(world.started) == 2


class TestAway:
    async def test_a_database_that_is_away_holds_it_up_and_loses_nothing(self) -> None:
        world = World()
        kept = await world.trigger()
        await messages(world, 3)
        create, tries = world.runs.create, itertools.count(1)

        async def away(new: Any, whole: Any = None) -> Any:
            if next(tries) == 1:
                raise Unavailable("The database does not answer.")
            return await create(new, whole)

        world.runs.create = away
        await works_until(world, kept, lambda: committed(world, kept) == 3)
        assert len(world.started) == 3
        assert (await world.store.get(1, "notes")).problem is None

    async def test_dead_letters_that_cannot_be_kept_are_not_given_up(self) -> None:
        world = World()
        kept = await world.trigger(dead_letters="nowhere")
        await world.write(b"poison")
        working = asyncio.create_task(world.work(kept).run())
        async with asyncio.timeout(10):
            while (problem := (await world.store.get(1, "notes")).problem) is None:
                await asyncio.sleep(0)
        working.cancel()
        assert "nowhere" in problem
        assert committed(world, kept) == 0

"""Slots of a concurrency key over a ledger that does not always answer."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from interplay.adapters.memory.clock import ManualClock, SystemClock
from interplay.adapters.memory.ledger import MemoryLedger, WorkerRow
from interplay.adapters.memory.slots import MemorySlots
from interplay.core.errors import Unavailable
from interplay.use_cases.hold_slots import HoldSlots

ONE, TWO = UUID(int=1), UUID(int=2)


class Lossy(MemorySlots):
    """Does what it is asked, and loses the answers to what `losing` names."""

    def __init__(self, ledger: MemoryLedger) -> None:
        super().__init__(ledger)
        self.losing: list[str] = []

    async def take(self, project_id: int, key: str, concurrency: int, worker_id: UUID, holder: str) -> bool:
        taken = await super().take(project_id, key, concurrency, worker_id, holder)
        self._lose("take")
        return taken

    async def release(self, project_id: int, key: str, holder: str) -> None:
        if "release" not in self.losing:
            await super().release(project_id, key, holder)
        self._lose("release")

    def _lose(self, what: str) -> None:
        if what in self.losing:
            self.losing.remove(what)
            raise Unavailable("The answer got lost.")


def ledger() -> MemoryLedger:
    made = MemoryLedger(SystemClock())
    made.workers = {worker_id: WorkerRow("default", 8, float("inf")) for worker_id in (ONE, TWO)}
    return made


class TestHoldSlots:
    async def test_a_ledger_that_is_away_costs_a_step_time_only(self) -> None:
        kept = ledger()
        slots = Lossy(kept)
        slots.losing = ["take", "take"]
        async with HoldSlots(slots, SystemClock()).slot(1, "k", 1, ONE, "run:a"):
            assert [len(holders) for holders in kept.slots.values()] == [1]
        assert [len(holders) for holders in kept.slots.values()] == [0]

    async def test_a_slot_that_could_not_be_given_back_costs_no_result_and_is_freed_later(self) -> None:
        kept = ledger()
        slots, clock = Lossy(kept), ManualClock()
        hold, slots.losing = HoldSlots(slots, clock), ["release"]
        async with hold.slot(1, "k", 2, ONE, "run:a"):
            pass
        assert len(await slots.held(ONE)) == 1
        async with hold.slot(1, "k", 2, ONE, "run:b"):
            await hold.tidy(ONE)
            assert [holder.split(":")[1] for _, _, holder in await slots.held(ONE)] == ["b"]

    async def test_one_that_was_taken_for_dead_gives_back_its_own_slot_only(self) -> None:
        """Its worker row went, and with it its slot; the run went on elsewhere, and the same step has one there."""
        kept = ledger()
        slots = MemorySlots(kept)
        first, second = HoldSlots(slots, SystemClock()), HoldSlots(slots, SystemClock())
        async with contextlib.AsyncExitStack() as later:
            async with first.slot(1, "k", 1, ONE, "run:a"):
                kept.remove_worker(ONE)
                await later.enter_async_context(second.slot(1, "k", 1, TWO, "run:a"))
            assert len(await slots.held(TWO)) == 1

    async def test_a_step_that_is_cancelled_while_it_waits_leaves_none(self) -> None:
        kept = ledger()
        hold = HoldSlots(MemorySlots(kept), SystemClock())

        async def wait() -> None:
            async with hold.slot(1, "k", 1, TWO, "run:b"):
                raise AssertionError("There is one slot, and somebody has it.")

        async with hold.slot(1, "k", 1, ONE, "run:a"):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        assert [len(holders) for holders in kept.slots.values()] == [0]

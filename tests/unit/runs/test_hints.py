"""Hints that a run was signalled: however many come, one look at the run is under way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

from interplay.adapters.memory.ledger import MemoryLedger
from interplay.core.runs.events import encode_value
from interplay.core.runs.signals import Signal
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import Standing
from interplay.use_cases.tenure import Tenure
from tests.factories import const, plan, step
from tests.unit.runs.test_commits import VERSION, Bench, GatedQueue, bench, new_id

HINTS = 3_000
FLOW = plan(step("slow"), step("told", "wait", values={"signal": const("go")}), version=VERSION)


class LookedAt(GatedQueue):
    """Notes how often a run is looked at, and holds the first look until the gate opens."""

    def __init__(self, ledger: MemoryLedger) -> None:
        super().__init__(ledger)
        self.looking, self.go_on = asyncio.Event(), asyncio.Event()
        self.looks = self.reads = 0

    async def standing(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Standing]:
        self.looks += 1
        found = await super().standing(run_ids)
        self.looking.set()
        await self.go_on.wait()
        return found

    async def signals(self, run_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Signal, ...]]:
        self.reads += 1
        return await super().signals(run_ids)


@contextlib.asynccontextmanager
async def held() -> AsyncIterator[tuple[Bench, LookedAt, Tenure, UUID]]:
    """A run whose first commit is under way."""
    async with bench(FLOW, LookedAt) as made:
        queue, tenure = made.queue, made.worker.tenure
        assert isinstance(queue, LookedAt)
        assert tenure is not None
        queue.gate.clear()
        run = await made.submit()
        await queue.arrived.wait()
        yield made, queue, tenure, run
        queue.go_on.set()


class TestHints:
    async def test_thousands_ask_for_one_look_more_and_none_is_lost(self) -> None:
        async with held() as (made, queue, tenure, run):
            tenure.hinted({"run": str(run)})
            await queue.looking.wait()
            await made.runs.signal(1, run, new_id(), "go", encode_value({"v": 1}))  # after the look read the run
            for _ in range(HINTS):
                tenure.hinted({"run": str(run)})
            queue.go_on.set()
            queue.gate.set()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert queue.looks < 10
            assert queue.reads == 2, "while the run was parking, and after that was turned down"

    async def test_signals_are_read_when_there_are_new_ones_only(self) -> None:
        async with held() as (made, queue, tenure, run):
            queue.go_on.set()
            tenure.hinted({"run": str(run)})
            await queue.looking.wait()
            assert queue.reads == 0
            await made.runs.signal(1, run, new_id(), "go", encode_value({"v": 1}))
            tenure.hinted({"run": str(run)})
            queue.gate.set()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert queue.reads == 2, "while the run was parking, and after that was turned down"

"""What goes into which commit, and what may happen before a commit is durable."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from interplay.adapters.memory.blob_store import MemoryBlobStore
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.result_cache import MemoryResultCache
from interplay.adapters.memory.run_queue import MemoryRunQueue
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.adapters.memory.slots import MemorySlots
from interplay.core.flows.ir import OnError, Policy, Timeout
from interplay.core.flows.plan import Plan
from interplay.core.ids import uuid7
from interplay.core.runs.events import EventKind, encode_value
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import CommitAnswer, CommitBatch, OutcomeUnknown
from interplay.ports.run_store import NewRun
from interplay.use_cases.attempt_step import AttemptStep
from interplay.use_cases.expand_flow import ExpandFlow
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.step_call import StepCall, StepResult
from interplay.use_cases.work import Worker, WorkerOptions, WorkerParts
from tests.factories import Value, const, mapped, plan, ref, step

VERSION = "ab" * 32


def new_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


class GatedQueue(MemoryRunQueue):
    """Commits wait before they are made while the gate is closed. What was sent is kept, in order."""

    def __init__(self, ledger: MemoryLedger) -> None:
        super().__init__(ledger)
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.sent: list[CommitBatch] = []
        self.under_way = 0
        self.lost_answers = 0

    async def commit(self, worker_id: UUID, batch: CommitBatch, resend: bool = False) -> CommitAnswer:
        assert self.under_way == 0, "two commits at once"
        self.under_way += 1
        self.arrived.set()
        try:
            await self.gate.wait()
            if not resend:
                self.sent.append(batch)
            answer = await super().commit(worker_id, batch, resend)
        finally:
            self.under_way -= 1
        if self.lost_answers and not resend:
            self.lost_answers -= 1
            raise OutcomeUnknown("The answer got lost.")
        return answer

    def keys(self) -> list[list[str | None]]:
        """The step of each fact, commit by commit; None for the run's own facts."""
        return [[row.step_key for row in batch.rows] for batch in self.sent]


class Calls:
    """A world that answers at once and notes what it was asked."""

    def __init__(self) -> None:
        self.made: list[str] = []

    async def execute(self, call: StepCall) -> StepResult:
        self.made.append(call.step_key)
        return StepResult({"key": call.step_key})

    async def cache_digest(self, call: StepCall) -> str:
        return call.step_key


class Bench:
    """A worker over the ledger in memory."""

    def __init__(self, flow: Plan, queue: Any, options: dict[str, Any]) -> None:
        clock = SystemClock()
        ledger = MemoryLedger(clock)
        self.queue, self.runs, self.calls = queue(ledger), MemoryRunStore(ledger), Calls()
        self.inputs: dict[str, Any] = {"x": 1}
        self.raw: bytes | None = None  # inputs as no release would have stored them
        self.computed: list[str] = []
        flows = MemoryFlowStore(clock)
        plans = PlanLoader(flows)
        plans.keep(flow)
        attempts = AttemptStep(self.calls, MemoryResultCache(clock), MemorySlots(ledger), clock)
        parts = WorkerParts(
            self.queue,
            MemoryEventBus(),
            clock,
            MemoryBlobStore(),
            plans,
            attempts,
            ExpandFlow(flows, plans, clock),
            new_id,
        )
        self.worker = Worker(parts, WorkerOptions(**{"poll": 0.02, **options}))

    async def submit(self) -> UUID:
        given = self.raw if self.raw is not None else encode_value(self.inputs)
        run = NewRun(run_id=new_id(), project_id=1, flow_name="f", flow_version=VERSION, input=given)
        await self.runs.create([run])
        self.worker.nudge()
        return run.run_id

    async def ended(self, run_id: UUID) -> RunStatus:
        async with asyncio.timeout(10):
            while not (await self.runs.get(1, run_id)).status.ended:
                await asyncio.sleep(0.002)
        return (await self.runs.get(1, run_id)).status

    async def kinds(self, run_id: UUID) -> list[EventKind]:
        return [EventKind(event.kind) for event in await self.runs.events(1, run_id)]


@contextlib.asynccontextmanager
async def bench(flow: Plan, queue: Any = GatedQueue, **options: Any) -> AsyncIterator[Bench]:
    made = Bench(flow, queue, options)
    working = asyncio.create_task(made.worker.run())
    await made.worker.ready.wait()
    yield made
    made.queue.gate.set()
    made.worker.stop()
    await working


def added(name: str, needs: str | None = None, seen: list[str] | None = None) -> Any:
    """A `set` step that notes when it is computed."""

    def compute(names: Any) -> dict[str, int]:
        if seen is not None:
            seen.append(name)
        return {"v": names[needs]["v"] + 1 if needs else names["inputs"]["x"]}

    return step(name, "set", needs=[needs] if needs else [], values={"value": Value(compute)})


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class TestOneRun:
    async def test_each_step_has_its_commit_and_the_end_goes_with_the_last(self) -> None:
        flow = plan(added("a"), added("b", "a"), added("c", "b"), output=ref("c.v"), version=VERSION)
        async with bench(flow) as made:
            run = await made.submit()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert made.queue.keys() == [[None, "a"], ["b"], ["c", None]]
            assert [event.seq for event in await made.runs.events(1, run)] == [1, 2, 3, 4, 5]

    async def test_a_skip_goes_with_the_result_that_it_follows_from(self) -> None:
        no = step("no", "set", needs=["a"], when=Value(lambda _: False), values={"value": Value(lambda _: 1)})
        async with bench(plan(added("a"), no, version=VERSION)) as made:
            await made.ended(await made.submit())
            assert made.queue.keys() == [[None, "a", "no", None]]

    async def test_a_batch_sent_twice_changes_nothing(self) -> None:
        flow = plan(added("a"), added("b", "a"), output=ref("b.v"), version=VERSION)
        async with bench(flow) as made:
            made.queue.lost_answers = 2
            run = await made.submit()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert [event.seq for event in await made.runs.events(1, run)] == [1, 2, 3, 4]


class TestParking:
    async def test_what_time_brings_while_a_run_parks_is_written_by_its_next_owner(self) -> None:
        """The commit that parks it may be through already: what came after it would be somebody else's numbers."""
        flow = plan(added("a"), step("w", "wait", values={"for": const(5.0)}), version=VERSION)
        async with bench(flow) as made:
            made.queue.gate.clear()
            run = await made.submit()
            await made.queue.arrived.wait()
            tenure = made.worker.tenure
            assert tenure is not None
            tenure.now = lambda: time.time() + 60.0
            for _ in range(2):
                tenure.executions[run].wake()
                tenure.executions[run].told(0, None, False)  # somebody's hint, and nothing new
            made.queue.gate.set()
            async with asyncio.timeout(10):
                while run in tenure.executions:
                    await asyncio.sleep(0.002)
            assert made.queue.keys() == [[None, "w", "a"]]
            assert (await made.runs.get(1, run)).status is RunStatus.WAITING


class TestBeforeACommitIsDurable:
    async def test_a_step_that_reaches_outside_does_not_start(self) -> None:
        flow = plan(added("a"), step("call", needs=["a"]), version=VERSION)
        async with bench(flow) as made:
            made.queue.gate.clear()
            run = await made.submit()
            await made.queue.arrived.wait()
            await settle()
            assert made.calls.made == []
            made.queue.gate.set()
            await made.ended(run)
            assert made.calls.made == ["call"]

    async def test_the_next_step_is_not_computed(self) -> None:
        seen: list[str] = []
        async with bench(plan(added("a", None, seen), added("b", "a", seen), version=VERSION)) as made:
            made.queue.gate.clear()
            run = await made.submit()
            await made.queue.arrived.wait()
            await settle()
            assert seen == ["a"]
            made.queue.gate.set()
            await made.ended(run)
            assert seen == ["a", "b"]

    async def test_nothing_starts_when_the_worker_is_lost(self) -> None:
        async with bench(plan(added("a"), step("call", needs=["a"]), version=VERSION)) as made:
            made.queue.gate.clear()
            await made.submit()
            await made.queue.arrived.wait()
            first = made.worker.tenure
            assert first is not None
            first.lose()
            made.queue.gate.set()
            await asyncio.sleep(0.1)
            assert made.worker.tenure is not first
            assert made.calls.made == []

    async def test_a_cancel_in_between_lets_nothing_start(self) -> None:
        flow = plan(added("a"), step("call", needs=["a"]), version=VERSION)
        async with bench(flow) as made:
            made.queue.gate.clear()
            run = await made.submit()
            await made.queue.arrived.wait()
            await settle()
            await made.runs.cancel(1, run, "enough")
            tenure = made.worker.tenure
            assert tenure is not None
            tenure.hinted({"run": str(run)})
            await settle()
            made.queue.gate.set()
            assert await made.ended(run) is RunStatus.CANCELLED
            assert made.calls.made == []
            assert (await made.kinds(run))[-1] is EventKind.RUN_CANCELLED


class TestManyRuns:
    async def test_they_share_commits(self) -> None:
        flow = plan(added("a"), added("b", "a"), added("c", "b"), output=ref("c.v"), version=VERSION)
        async with bench(flow) as made:
            runs = [await made.submit() for _ in range(50)]
            for run in runs:
                assert await made.ended(run) is RunStatus.SUCCEEDED
            assert len(made.queue.sent) < 20


class TestWhatTimeDecided:
    """An end that the clock brought about is acted on when it is durable: another worker might see another end."""

    @staticmethod
    async def expired(made: Bench) -> UUID:
        """A run whose wait has just ended, and the commit that says so is at the gate."""
        run = await made.submit()
        async with asyncio.timeout(10):
            while not made.queue.sent:
                await asyncio.sleep(0.002)
            while made.queue.under_way:
                await asyncio.sleep(0)
            made.queue.gate.clear()
            made.queue.arrived.clear()
            await made.queue.arrived.wait()
        for _ in range(300):
            await asyncio.sleep(0)
        return run

    async def test_what_follows_an_expiry_waits_for_its_commit(self) -> None:
        ask = step("ask", "approve", values={"within": const(0.3), "otherwise": const("reject")})
        async with bench(plan(ask, step("call", needs=["ask"]), version=VERSION)) as made:
            run = await self.expired(made)
            assert made.calls.made == []
            made.queue.gate.set()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert made.calls.made == ["call"]

    async def test_only_one_branch_acts_when_the_worker_is_lost_before_that_commit(self) -> None:
        ask = step("ask", "approve", values={"within": const(0.3), "otherwise": const("reject")})
        no = step("no", needs=["ask"], when=Value(lambda names: names["ask"]["decision"] == "reject"))
        yes = step("yes", needs=["ask"], when=Value(lambda names: names["ask"]["decision"] == "approve"))
        async with bench(plan(ask, no, yes, version=VERSION)) as made:
            run = await self.expired(made)
            lost = made.worker.tenure
            assert lost is not None
            decision = encode_value({"decision": "approve", "by": "ada"})
            await made.runs.signal(1, run, new_id(), "approval:ask", decision)
            lost.lose()
            await made.queue.retire(lost.worker_id)
            made.queue.gate.set()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert len(made.calls.made) == 1

    async def test_what_follows_the_timeout_of_a_map_waits_for_its_commit(self) -> None:
        inner = step("w", "wait", values={"for": const(60.0)})
        bound = Policy(timeout=Timeout(total=0.3), on_error=OnError("continue"))
        over = mapped("m", const([1]), inner, output="index", policy=bound)
        call = step("call", needs=["m"], tolerates=frozenset({"m"}))
        async with bench(plan(over, call, version=VERSION)) as made:
            run = await self.expired(made)
            assert made.calls.made == []
            made.queue.gate.set()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert made.calls.made == ["call"]

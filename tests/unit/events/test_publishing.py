"""What a worker publishes of its runs: everything that is durable, in order, whatever becomes of the log and of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

from interplay.adapters.memory.blob_store import MemoryBlobStore
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.event_log import MemoryEventLog
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.log_store import MemoryLogStore
from interplay.adapters.memory.result_cache import MemoryResultCache
from interplay.adapters.memory.run_queue import MemoryRunQueue
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.adapters.memory.slots import MemorySlots
from interplay.core.errors import InvalidInput, Unavailable
from interplay.core.flows.plan import Plan
from interplay.core.ids import uuid7
from interplay.core.runs.events import EventKind, encode_value
from interplay.core.runs.log import LoggedEvent
from interplay.ports.run_queue import CommitAnswer, CommitBatch
from interplay.ports.run_store import NewRun
from interplay.use_cases.attempt_step import AttemptStep
from interplay.use_cases.expand_flow import ExpandFlow
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.publish_events import PublishEvents
from interplay.use_cases.record_events import RecordEvents
from interplay.use_cases.step_call import StepCall, StepResult
from interplay.use_cases.sweep_log import SweepLog
from interplay.use_cases.work import Worker, WorkerOptions, WorkerParts
from tests.factories import Value, plan, ref, step

VERSION = "ab" * 32


def new_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


class Log(MemoryEventLog):
    """Takes nothing while `gate` is closed, and fails as often as `fails` says. `durable`: how far each run's journal
    was when its event was published."""

    def __init__(self, runs: MemoryRunStore) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails = 0
        self.cut: int | None = None  # so many events are kept of the next call that fails
        self.early: list[LoggedEvent] = []
        self.refuses: UUID | None = None  # a run whose events are too much for it
        self._runs = runs

    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        await self.gate.wait()
        for event in events:
            if len(await self._runs.events(1, event.run_id, 0, 10_000)) < event.seq:
                self.early.append(event)
        if any(event.run_id == self.refuses for event in events):
            raise InvalidInput("The record is larger than the topic takes.")
        if self.fails:
            self.fails -= 1
            await super().publish(events[: self.cut or 0])
            raise Unavailable("The log is away.")
        await super().publish(events)

    def firsts(self, run_id: UUID) -> list[int]:
        """The numbers of a run's events as a listener has them that drops what it has had."""
        found: list[int] = []
        for event in self.events:
            if event.run_id == run_id and event.seq > (found[-1] if found else 0):
                found.append(event.seq)
        return found


class Answers:
    """A world that answers once it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.let.set()

    async def execute(self, call: StepCall) -> StepResult:
        await self.let.wait()
        return StepResult({"key": call.step_key})

    async def cache_digest(self, call: StepCall) -> str:
        return call.step_key


class Bench:
    """Workers over the ledger in memory, and its event log."""

    def __init__(self, flow: Plan, most: int = 20_000, logged: bool = True) -> None:
        self.clock = SystemClock()
        self.ledger = MemoryLedger(self.clock, logged)
        self.queue, self.runs = MemoryRunQueue(self.ledger), MemoryRunStore(self.ledger)
        self.store, self.log = MemoryLogStore(self.ledger), Log(self.runs)
        self._flows, self.most = MemoryFlowStore(self.clock), most
        self.plans = PlanLoader(self._flows)
        self.plans.keep(flow)
        self.answers = Answers()

    def worker(self, **options: Any) -> tuple[Worker, PublishEvents]:
        publish = PublishEvents(self.log, self.store, self.clock, self.most)
        attempts = AttemptStep(self.answers, MemoryResultCache(self.clock), MemorySlots(self.ledger), self.clock)
        expand = ExpandFlow(self._flows, self.plans, self.clock)
        parts = WorkerParts(
            self.queue, MemoryEventBus(), self.clock, MemoryBlobStore(), self.plans, attempts, expand, new_id, publish
        )
        return Worker(parts, WorkerOptions(poll=0.02, **options)), publish

    async def submit(self, count: int = 1) -> list[UUID]:
        made = [
            NewRun(run_id=new_id(), project_id=1, flow_name="f", flow_version=VERSION, input=encode_value({}))
            for _ in range(count)
        ]
        await self.runs.create(made)
        return [run.run_id for run in made]

    async def ended(self, runs: Sequence[UUID]) -> None:
        async with asyncio.timeout(10):
            for run_id in runs:
                while not (await self.runs.get(1, run_id)).status.ended:
                    await asyncio.sleep(0.002)

    async def whole(self, runs: Sequence[UUID]) -> None:
        """Returns when every event of these runs is in the log, once and in order, and the ledger knows it."""
        async with asyncio.timeout(10):
            while await self.store.unpublished(1000):
                await asyncio.sleep(0.002)
        for run_id in runs:
            journal = await self.runs.events(1, run_id)
            assert self.log.firsts(run_id) == [event.seq for event in journal]
        assert self.log.early == [], "published before it was durable"


@contextlib.asynccontextmanager
async def working(bench: Bench, **options: Any) -> AsyncIterator[PublishEvents]:
    worker, publish = bench.worker(**options)
    task = asyncio.create_task(worker.run())
    await worker.ready.wait()
    yield publish
    worker.stop()
    await task


def chain(*names: str) -> Plan:
    steps = [
        step(name, "set", needs=[names[n - 1]] if n else [], values={"value": Value(lambda _: {"v": 1})})
        for n, name in enumerate(names)
    ]
    return plan(*steps, output=ref(f"{names[-1]}.v"), version=VERSION)


FLOW = chain("a", "b", "c")


class TestPublishing:
    async def test_each_event_once_in_order_with_the_output_at_the_end(self) -> None:
        bench = Bench(FLOW)
        async with working(bench):
            runs = await bench.submit(20)
            await bench.ended(runs)
            await bench.whole(runs)
        assert len(bench.log.events) == 20 * 5
        (last,) = [e for e in bench.log.events if e.run_id == runs[0] and e.kind is EventKind.RUN_SUCCEEDED]
        assert (last.facts["output"], last.flow, last.version, last.project_id) == (1, "f", VERSION, 1)

    async def test_where_nobody_listens_nothing_is_published(self) -> None:
        bench = Bench(FLOW, logged=False)
        async with working(bench):
            await bench.ended(await bench.submit(5))
        assert bench.log.events == []

    async def test_a_worker_that_ends_publishes_what_it_has(self) -> None:
        bench = Bench(FLOW)
        async with working(bench):
            runs = await bench.submit(50)
            await bench.ended(runs)
        await bench.whole(runs)

    async def test_a_run_in_no_hurry_is_marked_on_its_way(self) -> None:
        steps = [step(f"s{n}", "set", values={"value": Value(lambda _: 1)}) for n in range(600)]
        bench = Bench(plan(*steps, step("last", needs=["s599"]), version=VERSION))
        bench.answers.let.clear()
        async with working(bench):
            (run,) = await bench.submit()
            async with asyncio.timeout(10):
                while (bench.ledger.runs[run].published or 0) < 500:
                    await asyncio.sleep(0.002)
            assert not (await bench.runs.get(1, run)).status.ended
            bench.answers.let.set()
            await bench.ended([run])
            await bench.whole([run])


class TestALogThatIsAway:
    async def test_runs_go_on_and_their_events_come_later(self) -> None:
        bench = Bench(FLOW)
        bench.log.gate.clear()
        async with working(bench):
            runs = await bench.submit(30)
            await bench.ended(runs)
            assert bench.log.events == []
            bench.log.gate.set()
            await bench.whole(runs)

    async def test_what_it_refused_is_published_again_in_order(self) -> None:
        bench = Bench(FLOW)
        bench.log.fails, bench.log.cut = 1, 3
        async with working(bench) as publish:
            runs = await bench.submit(4)
            await bench.ended(runs)
            await bench.whole(runs)
            assert (publish.counted.refused, publish.away) == (1, None)
            assert publish.counted.read_again > 0

    async def test_memory_is_bounded_and_the_rest_is_read_from_the_ledger(self) -> None:
        bench = Bench(FLOW, most=10)
        bench.log.gate.clear()
        async with working(bench) as publish:
            runs = await bench.submit(100)
            await bench.ended(runs)
            assert len(publish._queue) <= 10 + 5  # one run's events more than the bound
            bench.log.gate.set()
            await bench.whole(runs)
            assert publish.waiting == 0


class TestAnEventThatCannotBePublished:
    async def test_holds_up_no_other_run(self) -> None:
        bench = Bench(FLOW)
        runs = await bench.submit(30)
        bad = bench.log.refuses = runs[7]
        async with working(bench, drain=0.2) as publish:
            await bench.ended(runs)
            async with asyncio.timeout(10):
                while any(one.run.run_id != bad for one in await bench.store.unpublished(100)):
                    await asyncio.sleep(0.002)
            later = await bench.submit(5)
            await bench.ended(later)
            async with asyncio.timeout(10):
                while any(one.run.run_id != bad for one in await bench.store.unpublished(100)):
                    await asyncio.sleep(0.002)
            assert bad not in publish._runs, "it is left to the recorder"
        for run_id in [*runs, *later]:
            journal = await bench.runs.events(1, run_id)
            assert bench.log.firsts(run_id) == ([] if run_id == bad else [event.seq for event in journal])

    async def test_the_sweep_sets_its_run_aside_and_goes_on(self) -> None:
        bench = Bench(FLOW)
        runs = await bench.submit(20)
        for run_id in runs:
            await bench.runs.cancel(1, run_id, "no")
        bench.log.refuses = runs[3]
        sweep = SweepLog(bench.store, bench.log, patient=False)
        await sweep.round()
        assert [one.run.run_id for one in await bench.store.unpublished(100)] == [runs[3]]
        assert (sweep.set_aside, sweep.swept) == (1, 19)
        await sweep.round()
        assert sweep.set_aside == 1


class Dying(MemoryRunQueue):
    """The worker's lease is found lost at the commit of this number, after it is durable."""

    def __init__(self, ledger: MemoryLedger, at: int) -> None:
        super().__init__(ledger)
        self._left = at
        self._ledger_ = ledger

    async def commit(self, worker_id: UUID, batch: CommitBatch, resend: bool = False) -> CommitAnswer:
        answer = await super().commit(worker_id, batch, resend)
        self._left -= 1
        if self._left == 0:
            self._ledger_.workers[worker_id].lease_until = 0.0
            return CommitAnswer(False, frozenset())
        return answer


class TestTakeovers:
    async def test_the_next_owner_publishes_what_the_last_one_did_not(self) -> None:
        for at in range(1, 6):
            bench = Bench(FLOW)
            bench.queue = Dying(bench.ledger, at)
            async with working(bench, sweep=0.02, lease=0.2, renew_every=0.02):
                runs = await bench.submit(3)
                await bench.ended(runs)
            sweep = SweepLog(bench.store, bench.log, patient=True)  # runs that ended have no next owner
            for _ in range(2):
                await sweep.round()
            await bench.whole(runs)

    async def test_a_mark_that_was_lost_costs_doubles_only(self) -> None:
        bench = Bench(FLOW)
        async with working(bench):
            runs = await bench.submit(5)
            await bench.ended(runs)
            await bench.whole(runs)
        for row in bench.ledger.runs.values():
            row.published = 2
        sweep = SweepLog(bench.store, bench.log, patient=False)
        assert not await sweep.round()
        await bench.whole(runs)
        assert len(bench.log.events) == 5 * (5 + 3)


class TestSweep:
    async def test_what_an_owner_is_about_is_left_to_it(self) -> None:
        bench = Bench(FLOW)
        (run,) = await bench.submit()
        await bench.runs.cancel(1, run, "no")
        sweep = SweepLog(bench.store, bench.log, patient=True)
        await sweep.round()
        assert bench.log.events == []
        await sweep.round()
        assert bench.log.firsts(run) == [1]
        await bench.whole([run])

    async def test_a_long_run_is_published_to_its_end(self) -> None:
        bench = Bench(chain(*(f"s{n}" for n in range(450))))
        bench.log.fails = 10_000
        async with working(bench, drain=0.1):
            runs = await bench.submit()
            await bench.ended(runs)
        bench.log.fails = 0
        sweep = SweepLog(bench.store, bench.log, patient=False)
        while await sweep.round():
            pass
        await bench.whole(runs)

    async def test_a_log_that_is_away_is_told_and_tried_again(self) -> None:
        bench = Bench(FLOW)
        (run,) = await bench.submit()
        await bench.runs.cancel(1, run, "no")
        bench.log.fails = 1
        sweep = SweepLog(bench.store, bench.log, patient=False)
        task = asyncio.create_task(sweep.run())
        async with asyncio.timeout(10):
            while sweep.away is None:
                await asyncio.sleep(0.005)
            assert "away" in sweep.away
            while sweep.away is not None:
                await asyncio.sleep(0.005)
        sweep.stop()
        await task
        await bench.whole([run])


class Keeps:
    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []
        self.fails = 0

    async def take(self, events: Sequence[LoggedEvent]) -> None:
        if self.fails:
            self.fails -= 1
            raise Unavailable("The database does not answer.")
        self.events += events


class TestRecording:
    def event(self, seq: int, kind: EventKind = EventKind.STEP_SUCCEEDED, run: UUID | None = None) -> LoggedEvent:
        facts = {"seconds": 0.5} if kind.terminal else {}
        return LoggedEvent(run or UUID(int=1), seq, kind, 0.0, 1, "f", VERSION, None, 0, facts)

    async def test_doubles_are_dropped(self) -> None:
        taker = Keeps()
        record = RecordEvents([taker])
        await record.publish([self.event(1), self.event(2), self.event(1)])
        await record.publish([self.event(2), self.event(3, EventKind.RUN_SUCCEEDED)])
        assert [event.seq for event in taker.events] == [1, 2, 3]
        assert record.counted.doubled == 2
        assert record.counted.ends == {(1, "f", "succeeded"): 1}
        assert record.counted.events == {"step.succeeded": 2, "run.succeeded": 1}

    async def test_what_a_taker_did_not_take_comes_again(self) -> None:
        taker = Keeps()
        taker.fails = 1
        record = RecordEvents([taker])
        for _ in range(2):
            with contextlib.suppress(Unavailable):
                await record.publish([self.event(1)])
        assert [event.seq for event in taker.events] == [1]
        assert record.counted.doubled == 0

"""A simulation from its seed to its verdict: a storm over a cell of workers, a quiet time, every invariant."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from interplay.adapters.memory.log_store import MemoryLogStore
from interplay.core.errors import Conflict, InterplayError, NotFound, Unavailable
from interplay.core.runs.status import RunStatus
from interplay.use_cases.steer_run import Decision, SteerRun
from interplay.use_cases.submit_run import RunRequest, SubmitRun
from interplay.use_cases.sweep_log import SweepLog
from tests.simulation.flows import SOURCES, library
from tests.simulation.loop import Actor, Stuck
from tests.simulation.triggers import Ingest
from tests.simulation.watch import HEARS
from tests.simulation.wire import Remote, at_once
from tests.simulation.world import FROZEN, LEASE, SWEEP, Cell, Process, SimulatedClock, cell, finish

STORM: Final = 14.0  # seconds in which things go wrong
QUIET: Final = 90.0  # seconds after it in which everything has to end
WORKERS: Final = (("default", 3), ("other", 1))
RUNS: Final = 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """`broken`: what did not hold. `digest`: the same for the same seed and the same code, or it is no replay."""

    seed: int
    digest: str
    broken: tuple[str, ...]
    counts: dict[str, int]
    turns: int
    trace: tuple[str, ...] = ()


@dataclass
class Asked:
    """What people asked for, and what they were told. `acknowledged`: the runs that they were told of."""

    acknowledged: dict[UUID, str] = field(default_factory=dict)
    cancelled: set[UUID] = field(default_factory=set)


class People:
    """Start runs, and steer them: over the same bad wires as everybody, asking again until they are answered."""

    def __init__(self, world: Cell) -> None:
        self._world = world
        self._dice = random.Random(world.seed + 1)
        self.asked = Asked()
        actor = self.actor = Actor("people")
        flows = library()[0]
        runs: Any = Remote(world.wire(actor), world.runs())
        clock = SimulatedClock(world.loop)
        bus = world.bus.of(actor)
        self._submit = SubmitRun(runs, flows, world.plans(), bus, world.new_id)
        self._steer = SteerRun(runs, bus, clock, world.new_id)

    async def work(self) -> None:
        names = [name for name in SOURCES if name != "inner"]
        async with asyncio.TaskGroup() as group:
            for number in range(RUNS):
                group.create_task(self._one(number, self._dice.choice(names), self._dice.uniform(0.0, STORM * 0.8)))

    async def more(self, count: int) -> None:
        """Runs that are under way for a while."""
        for number in range(RUNS, RUNS + count):
            request = RunRequest("calls", {"n": number}, idempotency_key=f"run {number}")
            run_id = (await self._until(lambda request=request: self._submit.run(1, [request])))[0].run_id
            self.asked.acknowledged[run_id] = "calls"

    async def _one(self, number: int, flow: str, at: float) -> None:
        await asyncio.sleep(at)
        project = 1 + number % 2
        request = RunRequest(flow, {"n": number}, idempotency_key=f"run {number}", priority=number % 3)
        if flow == "once" and self._dice.random() < 0.3:
            await self._abandoned(project, request)
            return
        run_id = (await self._until(lambda: self._submit.run(project, [request])))[0].run_id
        self.asked.acknowledged[run_id] = flow
        if self._dice.random() < 0.12:
            await asyncio.sleep(self._dice.uniform(0.0, 4.0))
            self.asked.cancelled.add(run_id)
            await self._until(lambda: self._steer.cancel(project, run_id, "enough"))
        elif flow == "parked":
            await self._signalled(project, run_id)
        elif flow == "asked":
            await self._decided(project, run_id)

    async def _abandoned(self, project: int, request: RunRequest) -> None:
        """Somebody who asks once and goes away: there may be a run, and nobody was told."""
        try:
            await self._submit.run(project, [request])
        except Unavailable:
            return

    async def _signalled(self, project: int, run_id: UUID) -> None:
        """Before, while or after it waits for it; doubled, now and then; and by somebody who may not."""
        await asyncio.sleep(self._dice.choice([0.0, self._dice.uniform(0.0, 9.0)]))
        for _ in range(self._dice.choice([1, 1, 2])):
            await self._until(lambda: self._steer.signal(project, run_id, "go", {"go": 7}, "once"))
        try:
            await self._until(lambda: self._steer.signal(3 - project, run_id, "go", {"go": 8}, "not mine"))
            self._world.watch.say(f"I10 project {3 - project} signalled a run of project {project}")
        except NotFound:
            pass

    async def _decided(self, project: int, run_id: UUID) -> None:
        while True:
            await asyncio.sleep(self._dice.uniform(0.2, 2.0))
            try:
                decision = Decision("approve", self._dice.choice(["ann", "bob"]))
                await self._until(lambda decision=decision: self._steer.decide(project, run_id, "ask", decision))
                return
            except Conflict:
                return  # somebody, perhaps this very person, decided already
            except NotFound:
                continue  # it does not ask yet

    async def _until(self, ask: Callable[[], Any]) -> Any:
        while True:
            try:
                return await ask()
            except Unavailable:
                await asyncio.sleep(self._dice.uniform(0.1, 1.0))


class Storm:
    """What befalls the processes, drawn from the seed."""

    def __init__(self, world: Cell) -> None:
        self._world = world
        self._dice = random.Random(world.seed + 2)
        self._born = 0
        self._stopping: list[Process] = []

    def worker(self, pool: str) -> Process:
        self._born += 1
        return self._world.start_worker(f"{pool}{self._born}", pool)

    async def rage(self) -> None:
        world, dice = self._world, self._dice
        weather = world.weather
        weather.slow = dice.choice([0.005, 0.05, 0.3])
        weather.lost, weather.refused = dice.choice([0.0, 0.05, 0.2]), dice.choice([0.0, 0.05])
        weather.late = dice.choice([0.0, 0.03])
        weather.hints_lost, weather.hints_doubled = dice.choice([0.0, 0.3, 1.0]), dice.choice([0.0, 0.3])
        until = world.loop.now + STORM
        while world.loop.now < until:
            await asyncio.sleep(dice.uniform(0.1, 2.5))
            fault = dice.choice(["kill", "kill", "freeze", "freeze", "blink", "stop", "outage", "nothing"])
            process = dice.choice(world.processes) if world.processes else None
            world.trace.note("storm", fault, process.actor.name if process else "")
            if fault == "outage":
                await self._outage()
            elif process is not None:
                self._befall(fault, process)
        weather.lost = weather.refused = weather.late = weather.hints_lost = weather.hints_doubled = 0.0
        weather.slow = 0.02

    def _befall(self, fault: str, process: Process) -> None:
        loop, dice = self._world.loop, self._dice
        if fault == "kill":
            self._world.kill(process)
            loop.call_later(dice.uniform(0.1, 4.0), self.worker, process.pool)
        elif fault in ("freeze", "blink"):
            seconds = dice.uniform(0.2, FROZEN) if fault == "freeze" else dice.uniform(0.05, LEASE)
            process.frozen_until = max(process.frozen_until, loop.now + seconds)
            loop.freeze(process.actor)
            loop.call_at(process.frozen_until, self._thaw, process)
        elif fault == "stop" and process not in self._stopping:
            self._stopping.append(process)
            process.actor.context.run(process.worker.stop)
            loop.call_later(dice.uniform(0.5, 4.0), self.worker, process.pool)

    def _thaw(self, process: Process) -> None:
        if self._world.loop.now >= process.frozen_until:
            self._world.loop.thaw(process.actor)

    async def _outage(self) -> None:
        self._world.weather.away = True
        await asyncio.sleep(self._dice.uniform(0.2, LEASE * 2))
        self._world.weather.away = False


class Sweeper:
    """Publishes what no owner did; a process that nothing befalls but the weather."""

    def __init__(self, world: Cell) -> None:
        self._world = world
        actor = Actor("sweeper")
        wire = world.wire(actor)
        self._store = MemoryLogStore(world.ledger)
        store: Any = Remote(wire, self._store)
        self._sweep = actor.context.run(SweepLog, store, Remote(wire, world.log), patient=True)  # type: ignore[arg-type]
        self._task = world.loop.start(actor, self._sweep.run)

    async def done(self) -> None:
        """Until nothing is left to be published, or time is up."""
        until = self._world.loop.now + QUIET
        while at_once(self._store.unpublished(1)) and self._world.loop.now < until:
            await asyncio.sleep(0.25)
        self._sweep.stop()
        await self._task
        self._world.watch.log(self._world.log)


async def _last_kill(world: Cell, storm: Storm, people: People) -> None:
    """I15, when nothing else is wrong: what a killed worker held is in other hands after a lease and a sweep."""
    await asyncio.sleep(FROZEN + 2 * LEASE)  # whoever judges has a lease of its own that held that long
    await people.more(6)
    await asyncio.sleep(0.2)
    holders = {row.worker_id: row for row in world.ledger.runs.values() if row.status is RunStatus.RUNNING}
    for process in list(world.processes):
        tenure = process.worker.tenure
        if process.pool != "default" or tenure is None or tenure.worker_id not in holders:
            continue
        mine = [r for r, row in world.ledger.runs.items() if row.worker_id == tenure.worker_id]
        world.trace.note("storm", "last-kill", process.actor.name)
        world.kill(process)
        storm.worker(process.pool)
        await asyncio.sleep(LEASE + SWEEP + 1.0 + 2 * world.weather.slow)
        for run_id in mine:
            if world.ledger.runs[run_id].worker_id == tenure.worker_id:
                world.watch.say(f"I15 run {str(run_id)[-6:]} is still with a worker that is dead")
        return


async def _all_ended(world: Cell) -> None:
    until = world.loop.now + QUIET
    while any(not row.status.ended or row.status is RunStatus.DEAD for row in world.ledger.runs.values()):
        if world.loop.now > until:
            for run_id, row in world.ledger.runs.items():
                if not row.status.ended:
                    world.watch.say(
                        f"I1 run {str(run_id)[-6:]} of {row.new.flow_name} does not end: {row.status.name}, "
                        f"fence {row.fence}, worker {str(row.worker_id)[-6:]}"
                    )
            return
        await asyncio.sleep(0.25)


async def _course(world: Cell) -> Asked:
    storm, people, ingest, sweeper = Storm(world), People(world), Ingest(world), Sweeper(world)
    for pool, count in WORKERS:
        for _ in range(count):
            storm.worker(pool)
    ingest.begin()
    working = world.loop.start(people.actor, people.work)
    await storm.rage()
    killing = asyncio.create_task(_last_kill(world, storm, people))
    async with asyncio.timeout(QUIET):
        await working
        await killing
        await ingest.done()
    await _all_ended(world)
    await asyncio.sleep(1.0)  # the answer to the last commit is heard
    await ingest.end()
    _left(world)
    for process in world.processes:
        process.actor.context.run(process.worker.stop)
    async with asyncio.timeout(QUIET):
        await asyncio.gather(*(process.task for process in world.processes))
    if world.ledger.workers:
        world.watch.say(f"I11 {len(world.ledger.workers)} workers are on the list, and none is there")
    await sweeper.done()
    ingest.check()
    return people.asked


def _left(world: Cell) -> None:
    """What nobody needs any more is gone."""
    slots = sum(len(holders) for holders in world.ledger.slots.values())
    waits = sum(len(row.waits) for row in world.ledger.runs.values())
    held = sum(len(process.worker.tenure.executions) for process in world.processes if process.worker.tenure)
    for what, count in (("slots", slots), ("waits", waits), ("runs in memory", held)):
        if count:
            world.watch.say(f"I11 {count} {what} are left when all has ended")


def _verdicts(world: Cell, asked: Asked) -> None:
    ledger, watch, plans = world.ledger, world.watch, library()[1]
    for run_id, flow in asked.acknowledged.items():
        if run_id not in ledger.runs:
            watch.say(f"I1 the run {str(run_id)[-6:]} of {flow} was acknowledged, and is not there")
    for run_id, row in ledger.runs.items():
        if row.status is RunStatus.CANCELLED and run_id not in asked.cancelled:
            watch.say(f"I1 run {str(run_id)[-6:]} is cancelled, and nobody cancelled it")
        elif row.status is RunStatus.SUCCEEDED:
            watch.outcome(run_id, row, plans)
        elif row.status is not RunStatus.CANCELLED and row.status.ended:
            watch.say(f"I7 run {str(run_id)[-6:]} of {row.new.flow_name} is {row.status.name}: {row.error!r}")
        if row.status.ended:
            watch.history(run_id, row)
    watch.calls(world.calls, LEASE + FROZEN + HEARS)


def simulate(seed: int, keep: int = 400) -> Verdict:
    world = cell(seed, keep)
    try:
        asyncio.set_event_loop(world.loop)
        asked = world.loop.run_until_complete(_course(world))
        _verdicts(world, asked)
    except (Stuck, TimeoutError, InterplayError) as wrong:
        world.watch.say(f"I11 it does not go on: {type(wrong).__name__}: {wrong}")
    finally:
        digest, turns = world.trace.digest, world.loop.turns
        finish(world)
        asyncio.set_event_loop(None)
    defects = [f"defect: {one}" for one in world.loop.defects]
    counts = dict(world.trace.counts)
    return Verdict(seed, digest, (*world.watch.broken, *defects), counts, turns, tuple(world.trace.lines))

"""One simulation: processes over one ledger, what befalls them, and whoever starts and steers runs."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from interplay.adapters.memory.blob_store import MemoryBlobStore
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.log_store import MemoryLogStore
from interplay.adapters.memory.result_cache import MemoryResultCache
from interplay.adapters.memory.run_queue import MemoryRunQueue
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.adapters.memory.slots import MemorySlots
from interplay.core.ids import uuid7
from interplay.use_cases.attempt_step import AttemptStep
from interplay.use_cases.evaluate_values import EvaluateValues
from interplay.use_cases.expand_flow import ExpandFlow
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.publish_events import PublishEvents
from interplay.use_cases.work import Worker, WorkerOptions, WorkerParts
from tests.simulation.flows import World, WorldCall, library
from tests.simulation.loop import Actor, SimulatedLoop
from tests.simulation.watch import EPOCH, Watch, WatchedLog
from tests.simulation.wire import Remote, SimulatedBus, Weather, Wire

LEASE: Final = 3.0
SWEEP: Final = 1.0
FROZEN: Final = 3 * LEASE  # the longest that a process stands still
OPTIONS: Final = WorkerOptions(
    capacity=8, lease=LEASE, renew_every=LEASE / 4, poll=1.0, sweep=SWEEP, takeover_budget=1000, claim_most=4, drain=2.0
)
_LINES: Final = 400  # of a trace, kept to be shown


class SimulatedClock:
    """`skew`: seconds that this machine is ahead. Nothing that counts may depend on it."""

    def __init__(self, loop: SimulatedLoop, skew: float = 0.0) -> None:
        self._loop, self._skew = loop, skew

    def now(self) -> float:
        return EPOCH + self._loop.now + self._skew

    def monotonic(self) -> float:
        return self._loop.now

    async def sleep_until(self, monotonic: float) -> None:
        await asyncio.sleep(max(0.0, monotonic - self._loop.now))


class Trace:
    """Everything that happened, as one number; and its last lines, for whoever has to understand it."""

    def __init__(self, loop: SimulatedLoop, keep: int = _LINES) -> None:
        self._loop = loop
        self._digest = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()

    def note(self, *what: object) -> None:
        line = f"{self._loop.now:.6f} {' '.join(map(str, what))}"
        self._digest.update(line.encode())
        self.lines.append(line)
        self.counts[str(what[1])] += 1

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()[:16]


@dataclass
class Process:
    """A worker, from its start to its end. `frozen_until`: it stands still until then."""

    actor: Actor
    worker: Worker
    task: asyncio.Task[Any]
    pool: str
    frozen_until: float = 0.0


@dataclass
class Cell:
    """One ledger and everything around it."""

    seed: int
    loop: SimulatedLoop
    ledger: MemoryLedger
    watch: Watch
    trace: Trace
    weather: Weather
    bus: SimulatedBus
    log: WatchedLog
    calls: list[WorldCall] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    dead: list[Actor] = field(default_factory=list)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def new_id(self) -> UUID:
        """In the order of time, as the product's are."""
        number = next(self.numbers)
        return uuid7(int((EPOCH + self.loop.now) * 1000), number.to_bytes(10, "big"))

    def wire(self, actor: Actor) -> Wire:
        wire = Wire(self.loop, actor, self.weather, self.trace)
        wire.watch = self.watch.look
        return wire

    def plans(self) -> PlanLoader:
        flows, plans, _ = library()
        loader = PlanLoader(flows)
        for plan in plans.values():
            loader.keep(plan)
        return loader

    def start_worker(self, name: str, pool: str = "default") -> Process:
        actor = Actor(name)
        wire, flows = self.wire(actor), library()[0]
        clock = SimulatedClock(self.loop, self.loop.dice.choice([0.0, -0.2, 0.2]))
        plans = self.plans()
        world = World(self.loop, actor, self.calls, self.trace.note)
        attempts = AttemptStep(world, MemoryResultCache(clock), Remote(wire, MemorySlots(self.ledger)), clock)
        attempts.values = EvaluateValues(most_inline=1e9)  # by the work, never by the time that it took
        parts = WorkerParts(
            Remote(wire, MemoryRunQueue(self.ledger)),
            self.bus.of(actor),
            clock,
            Remote(wire, MemoryBlobStore(self.ledger)),
            plans,
            attempts,
            ExpandFlow(Remote(wire, flows), plans, clock),
            self.new_id,
            PublishEvents(Remote(wire, self.log), Remote(wire, MemoryLogStore(self.ledger)), clock),
        )
        options = OPTIONS if pool == "default" else WorkerOptions(**{**_fields(OPTIONS), "pool": pool})
        worker = actor.context.run(Worker, parts, options)
        process = Process(actor, worker, self.loop.start(actor, worker.run), pool)
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> None:
        self.loop.kill(process.actor)
        self.bus.listeners.pop(process.actor, None)
        self.processes.remove(process)
        self.dead.append(process.actor)
        for call in self.calls:
            if call.actor == process.actor.name and call.ended is None:
                call.ended = self.loop.now

    def runs(self) -> MemoryRunStore:
        return MemoryRunStore(self.ledger)


def _fields(options: WorkerOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in options.__slots__}


def cell(seed: int, keep: int = _LINES) -> Cell:
    library()
    logging.getLogger("interplay").setLevel(logging.CRITICAL + 1)
    loop = SimulatedLoop(random.Random(seed))
    ledger = MemoryLedger(SimulatedClock(loop), logged=True)
    weather = Weather()
    trace = Trace(loop, keep)
    watch = Watch(ledger)
    return Cell(seed, loop, ledger, watch, trace, weather, SimulatedBus(loop, weather), WatchedLog(watch))


def finish(cell: Cell) -> None:
    """Ends what is left, so that nothing complains."""
    for actor in [*(process.actor for process in cell.processes), *cell.dead]:
        cell.loop.bury(actor)
    tasks = [task for task in asyncio.all_tasks(cell.loop) if not task.done()]
    for task in tasks:
        task.cancel()
    cell.loop.limit += 100_000
    if tasks:
        cell.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    cell.loop.close()

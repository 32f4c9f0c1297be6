"""Triggers in a simulation: two processes read a topic, stand still, die, come back, and start runs of messages."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from interplay.adapters.memory.topic_reader import MemoryMember, MemoryTopicReader
from interplay.adapters.memory.topic_writer import MemoryTopicWriter
from interplay.adapters.memory.trigger_store import MemoryTriggerStore
from interplay.core.errors import Unavailable
from interplay.core.runs.events import decode_value
from interplay.core.triggers.messages import Message
from interplay.core.triggers.trigger import Trigger
from interplay.ports.topic_reader import StartAt, TopicMember
from interplay.ports.topic_writer import TopicRecord
from interplay.ports.trigger_store import KeptTrigger, NewTrigger
from interplay.use_cases.run_trigger import RunTrigger, TriggerParts
from interplay.use_cases.submit_run import SubmitRun
from tests.simulation.flows import library
from tests.simulation.loop import Actor
from tests.simulation.wire import Remote, Wire, at_once

if TYPE_CHECKING:
    from tests.simulation.world import Cell

SESSION: Final = 3.0  # seconds that a broker waits for a member that it does not hear of
STORM: Final = 12.0
MESSAGES: Final = 14


class _Member(TopicMember):
    """One process's place in its group. It reads at once or not at all; what it commits goes a long way."""

    def __init__(self, member: MemoryMember, wire: Wire, world: Cell) -> None:
        self._member, self._wire, self._world = member, wire, world

    async def batch(self, most: int, within: float) -> list[Message]:
        for _ in range(2):
            if self._world.weather.away:
                raise Unavailable("The broker is away.")
            found = self._member.there(most)
            if found:
                return found
            await asyncio.sleep(within / 2)
        return []

    async def stay(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def commit(self, messages: list[Message]) -> None:
        await self._wire.ask("offsets", lambda: self._member.commit(messages))


class _Readers:
    def __init__(self, topics: MemoryTopicReader, wire: Wire, world: Cell) -> None:
        self._topics, self._wire, self._world = topics, wire, world
        self.members: list[tuple[str, MemoryMember]] = []

    @contextlib.asynccontextmanager
    async def join(self, group: str, topic: str, start: StartAt) -> AsyncIterator[TopicMember]:
        async with self._topics.join(group, topic, start) as member:
            self.members.append((group, member))
            yield _Member(member, self._wire, self._world)


class Ingest:
    """`begin`, then wait until `done`; `check` says what became of the messages."""

    def __init__(self, world: Cell) -> None:
        self._world = world
        self._dice = random.Random(world.seed + 3)
        self._writer = MemoryTopicWriter()
        for topic, partitions in (("notes", 2), ("dead", 1)):
            self._writer.make(topic, partitions)
        self._topics = MemoryTopicReader(self._writer)
        self._store = MemoryTriggerStore()
        trigger = Trigger(
            "notes",
            "inner",
            inputs={"n": "$message.value.n"},
            dedupe="$message.value.id",
            start="earliest",
            dead_letters="dead",
            batch=4,
        )
        self._kept: KeptTrigger = at_once(self._store.put(NewTrigger(world.new_id(), 1, "notes", trigger, None)))[0]
        self._working: dict[Actor, tuple[asyncio.Task[Any], _Readers]] = {}
        self._numbers = 0
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        for _ in range(2):
            self._start()
        loop = self._world.loop
        self._tasks = [loop.create_task(self._write()), loop.create_task(self._trouble())]

    def _start(self) -> None:
        world = self._world
        self._numbers += 1
        actor = Actor(f"ingester{self._numbers}")
        wire, bus = world.wire(actor), world.bus.of(actor)
        readers: Any = _Readers(self._topics, wire, world)
        runs: Any = Remote(wire, world.runs())
        submit = SubmitRun(runs, library()[0], world.plans(), bus, world.new_id)
        store, writer = Remote(wire, self._store), Remote(wire, self._writer)
        nobody: Any = None  # no trigger of these feeds a model
        parts: Any = TriggerParts(store, readers, writer, submit, runs, bus, nobody, nobody)  # type: ignore[arg-type]
        work = RunTrigger(parts, self._kept)
        self._working[actor] = (world.loop.start(actor, work.run), readers)

    async def _write(self) -> None:
        """In no order of places; some twice, as a producer does that did not hear an answer; one that is poison."""
        for number in range(MESSAGES):
            await asyncio.sleep(self._dice.uniform(0.0, 2 * STORM / MESSAGES))
            value = json.dumps({"n": number, "id": f"m{number}"}).encode()
            for _ in range(self._dice.choice([1, 1, 1, 2])):
                await self._writer.write(TopicRecord("notes", value, str(self._dice.random()).encode()))
        await self._writer.write(TopicRecord("notes", b"poison", b"k"))

    async def _trouble(self) -> None:
        loop, dice = self._world.loop, self._dice
        until = loop.now + STORM
        while loop.now < until:
            await asyncio.sleep(dice.uniform(0.2, 3.0))
            if not self._working:
                continue
            actor = dice.choice(list(self._working))
            fault = dice.choice(["kill", "freeze", "rebalance", "nothing"])
            self._world.trace.note("ingest", fault, actor.name)
            if fault == "kill":
                _, readers = self._working.pop(actor)
                loop.kill(actor)
                self._world.dead.append(actor)
                loop.call_later(SESSION, self._evict, readers)
                loop.call_later(dice.uniform(0.2, 4.0), self._start)
            elif fault == "freeze":
                seconds = dice.uniform(0.2, 2 * SESSION)
                loop.freeze(actor)
                loop.call_later(seconds, loop.thaw, actor)
                if seconds > SESSION:
                    loop.call_later(SESSION, self._evict, self._working[actor][1])
            elif fault == "rebalance":
                self._evict(self._working[actor][1])

    def _evict(self, readers: _Readers) -> None:
        for group, member in readers.members:
            self._topics.evict(group, member)

    async def done(self) -> None:
        """Every message is worked off, and what it started has ended; or time is up."""
        await asyncio.gather(*self._tasks)
        while any(lag != 0 for lag in (await self._topics.lag(self._kept.group, "notes")).values()):
            await asyncio.sleep(0.25)

    async def end(self) -> None:
        tasks = [task for task, _ in self._working.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def check(self) -> None:
        watch = self._world.watch
        rows = [row for row in self._world.ledger.runs.values() if "trigger" in row.new.labels]
        started = Counter(decode_value(row.new.input)["n"] for row in rows)
        for number in range(MESSAGES):
            if started[number] == 0:
                watch.say(f"I1 message m{number} was committed, and there is no run of it")
            elif started[number] > 1:
                watch.say(f"I13 message m{number} started {started[number]} runs")
        if not any(record.value == b"poison" for record in self._writer.topics["dead"][0]):
            watch.say("I1 a message that starts nothing is no dead letter")

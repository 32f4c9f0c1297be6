"""What lies between a process and what it asks: answers that take their time, get lost, or come of what happens later.

Each statement is atomic where it is carried out, as a statement of the ledger is; when that is, and whether whoever
asked hears of it, is drawn from the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from interplay.core.errors import InterplayError, Unavailable
from interplay.core.runs.topics import Subscriptions
from interplay.ports.run_queue import OutcomeUnknown
from tests.simulation.loop import Actor, SimulatedLoop

LATE = 2.0  # seconds that a statement may be under way after whoever sent it gave it up: less than a lease


@dataclass
class Weather:
    """How bad things are right now: parts of one. `away`: nothing gets through."""

    lost: float = 0.0  # answers
    refused: float = 0.0  # statements that never arrive
    late: float = 0.0  # statements that are carried out after they were given up
    hints_lost: float = 0.0
    hints_doubled: float = 0.0
    slow: float = 0.02  # seconds, the most of one way
    away: bool = False


class Trace(Protocol):
    def note(self, *what: object) -> None: ...


class Wire:
    """The way of one process to the ledger."""

    def __init__(self, loop: SimulatedLoop, actor: Actor, weather: Weather, trace: Trace) -> None:
        self._loop, self._actor, self._weather, self._trace = loop, actor, weather, trace
        self._nowhere = Actor("ledger").context
        self.watch: Callable[[], None] = lambda: None

    async def ask(self, name: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What `work` gives or raises; Unavailable, or OutcomeUnknown, when nobody knows."""
        loop, dice, weather = self._loop, self._loop.dice, self._weather
        answer: asyncio.Future[Any] = loop.create_future()
        there, draw = dice.uniform(0.0, weather.slow), dice.random()
        if draw < weather.refused:
            return await self._given_up(name, "refused", answer, there)
        if draw < weather.refused + weather.late:
            loop.call_later(there + dice.uniform(0.0, LATE), self._carry_out, name, work, None, context=self._nowhere)
            return await self._given_up(name, "late", answer, there)
        kept = answer if draw >= weather.refused + weather.late + weather.lost else None
        loop.call_later(there, self._carry_out, name, work, kept, context=self._nowhere)
        if kept is None:
            return await self._given_up(name, "lost", answer, there + dice.uniform(0.0, weather.slow))
        return await answer

    async def _given_up(self, name: str, why: str, answer: asyncio.Future[Any], after: float) -> Any:
        lost = OutcomeUnknown if name in ("claim", "adopt", "commit") else Unavailable
        self._loop.call_later(after, _fail, answer, lost(f"The ledger does not answer ({why})."), context=self._nowhere)
        return await answer

    def _carry_out(
        self, name: str, work: Callable[[], Coroutine[Any, Any, Any]], answer: asyncio.Future[Any] | None
    ) -> None:
        if self._weather.away:
            self._trace.note(self._actor.name, name, "away")
            if answer is not None:
                lost = OutcomeUnknown if name in ("claim", "adopt", "commit") else Unavailable
                _fail(answer, lost("The ledger is away."))
            return
        result: Any = None
        error: InterplayError | None = None
        try:
            result = at_once(work())
        except InterplayError as refused:
            error = refused
        self._trace.note(self._actor.name, name, result if error is None else type(error).__name__)
        self.watch()
        if answer is None:
            return
        back = self._loop.dice.uniform(0.0, self._weather.slow)
        if error is not None:
            self._loop.call_later(back, _fail, answer, error, context=self._nowhere)
        else:
            self._loop.call_later(back, _give, answer, result, context=self._nowhere)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """What a method of a memory twin gives: none of them waits for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("A memory twin waited inside a statement: then the statement is not atomic.")


def _give(answer: asyncio.Future[Any], result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _fail(answer: asyncio.Future[Any], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)


class Remote:
    """Any port of the ledger, over a wire."""

    def __init__(self, wire: Wire, twin: Any) -> None:
        self._wire, self._twin = wire, twin

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._twin, name)

        async def ask(*arguments: Any, **named: Any) -> Any:
            return await self._wire.ask(name, lambda: method(*arguments, **named))

        return ask


class SimulatedBus:
    """Hints between processes: lost, doubled, late and in another order, as the weather has it."""

    def __init__(self, loop: SimulatedLoop, weather: Weather) -> None:
        self._loop, self._weather = loop, weather
        self._nowhere = Actor("bus").context
        self.listeners: dict[Actor, Subscriptions] = {}

    def of(self, actor: Actor) -> BusOfOne:
        self.listeners[actor] = Subscriptions()
        return BusOfOne(self, actor)

    def send(self, topic: str, message: dict[str, Any]) -> None:
        dice, weather = self._loop.dice, self._weather
        for subscriptions in self.listeners.values():
            if not subscriptions.wanted(topic) or dice.random() < weather.hints_lost:
                continue
            for _ in range(2 if dice.random() < weather.hints_doubled else 1):
                after = dice.uniform(0.0, weather.slow * 3)
                self._loop.call_later(after, subscriptions.deliver, topic, message, context=self._nowhere)


class BusOfOne:
    def __init__(self, bus: SimulatedBus, actor: Actor) -> None:
        self._bus, self._actor = bus, actor

    def publish(self, topic: str, message: dict[str, Any]) -> None:
        self._bus.send(topic, message)

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[Any]:
        async with self._bus.listeners[self._actor].subscribe(*topics) as messages:
            yield messages

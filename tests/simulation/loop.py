"""An event loop without a clock and without the outside: time is a number, and chance comes from a seed.

Everything that the product does in a simulation runs on it, unchanged: tasks, timers, locks, timeouts. When nothing is
ready, time jumps to the next timer, so that an hour costs what its events cost. Each process of the simulation is an
`Actor`: whose turn it is when several could go on is drawn from the seed, while one process keeps its own order, as a
real loop does. A frozen actor stands still in the middle of whatever it does, a dead one for ever.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(AssertionError):
    """Nothing is ready and no timer is set: nobody will ever go on."""


class Actor:
    """A process. `held`: it does not run; what comes for it waits in `stash`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.held = False
        self.dead = False
        self.stash: deque[asyncio.Handle] = deque()
        self.context: Context = copy_context()
        self.context.run(_ACTOR.set, self)


_ACTOR: ContextVar[Actor | None] = ContextVar("actor", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """`limit`: turns after which a simulation is taken for one that goes round in circles."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, dice: random.Random, limit: int = 100_000) -> None:
        super().__init__()
        self.dice = dice
        self.now = 0.0
        self.turns = 0
        self.limit = limit
        self.defects: list[str] = []
        self.set_exception_handler(self._defect)

    def time(self) -> float:
        return self.now

    def _defect(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.defects.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _write_to_self(self) -> None:
        raise AssertionError("A simulation has one thread.")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap until its time comes; time never jumps to it."""

    def _run_once(self) -> None:
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if not self._ready:
            if not timers:
                raise Stuck("nothing is ready, and no timer is set")
            self.now = max(self.now, timers[0].when())
        while timers and timers[0].when() <= self.now:
            timer = heapq.heappop(timers)
            if not timer.cancelled():
                self._ready.append(timer)
        for handle in self._in_turn():
            actor = _actor_of(handle)
            if handle.cancelled():
                continue
            if actor is not None and actor.held:
                actor.stash.append(handle)
                continue
            self.turns += 1
            handle._run()
        if self.turns > self.limit:
            raise Stuck(f"{self.turns:,} turns, and no end")

    def _in_turn(self) -> list[asyncio.Handle]:
        """What is ready: the processes mixed by chance, each in its own order."""
        ready = list(self._ready)
        self._ready.clear()
        if len(ready) < 2:
            return ready
        places: dict[Actor | None, deque[asyncio.Handle]] = {}
        for handle in ready:
            places.setdefault(_actor_of(handle), deque()).append(handle)
        if len(places) == 1:
            return ready
        order = [place for place, handles in enumerate(places.values()) for _ in handles]
        self.dice.shuffle(order)
        queues = list(places.values())
        return [queues[place].popleft() for place in order]

    # ------------------------------------------------------------------ processes

    def start(self, actor: Actor, work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        """Runs it as a task of this process."""

        async def working() -> Any:
            return await work()

        return self.create_task(working(), context=actor.context)

    def freeze(self, actor: Actor) -> None:
        actor.held = True

    def thaw(self, actor: Actor) -> None:
        """It goes on where it stood, with everything that came meanwhile."""
        if not actor.dead:
            actor.held = False
            self._ready.extend(actor.stash)
            actor.stash.clear()

    def kill(self, actor: Actor) -> None:
        """No `finally` of it runs any more, nothing that it sent is taken back."""
        actor.held = actor.dead = True

    def bury(self, actor: Actor) -> None:
        """When all is over: what is left of a dead process may be tidied up."""
        actor.dead = False
        self.thaw(actor)


def _actor_of(handle: asyncio.Handle) -> Actor | None:
    found: Actor | None = handle._context.get(_ACTOR)  # type: ignore[attr-defined]
    return found


def current_actor() -> Actor | None:
    return _ACTOR.get()

"""Values of steps, evaluated where they hold nobody up.

What is little is evaluated at once, on the event loop, until one turn of the loop has had enough of it.
What is much goes to a thread: one value at a time, and one run after the other. A thread that renders a
template lets the loop have its turn every few milliseconds; one evaluation of CEL does not, and is bounded
to about a tenth of a second for that reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable, Mapping
from typing import Any, Final
from weakref import WeakValueDictionary

from interplay.core.flows.demand import ENOUGH, demand
from interplay.core.flows.plan import Evaluable, Names

MOST_INLINE: Final = 0.05  # seconds of one turn of the loop

Values = Mapping[str, Evaluable]


class EvaluateValues:
    """One for all runs of a process. `at_once` says whether `now` may be called; `run` always may."""

    def __init__(self, most_inline: float = MOST_INLINE) -> None:
        self._most_inline = most_inline
        self._spent = 0.0
        self._counting = False
        self._room = asyncio.Event()
        self._thread = asyncio.Lock()
        self._runs: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def at_once(self, values: Values, names: Names) -> bool:
        return self._spent < self._most_inline and not _is_much(values, names)

    def now(self, values: Values, names: Names) -> dict[str, Any]:
        """Raises StepFailure (`expression`)."""
        if not self._counting:
            self._counting = True
            asyncio.get_running_loop().call_soon(self._next_turn)
        began = time.perf_counter()
        try:
            return {name: value.evaluate(names) for name, value in values.items()}
        finally:
            self._spent += time.perf_counter() - began

    async def run(self, owner: Hashable, values: Values, names: Names) -> dict[str, Any]:
        """In this turn of the loop, in a later one or in a thread. Raises StepFailure (`expression`)."""
        if _is_much(values, names):
            return await self._in_thread(owner, values, names)
        while self._spent >= self._most_inline:
            self._room.clear()
            await self._room.wait()
        return self.now(values, names)

    def _next_turn(self) -> None:
        self._counting = False
        self._spent = 0.0
        self._room.set()

    async def _in_thread(self, owner: Hashable, values: Values, names: Names) -> dict[str, Any]:
        """A run waits with one of its values only, so that each run with much to evaluate has its turn."""
        seen = {root: names[root] for value in values.values() for root in value.roots}
        mine = self._runs.get(owner)
        if mine is None:
            self._runs[owner] = mine = asyncio.Lock()
        async with mine:
            await self._thread.acquire()
            work = asyncio.ensure_future(asyncio.to_thread(_evaluated, values, seen))
            work.add_done_callback(self._thread_free)  # not before: a thread outlives whoever waits for it
            return await asyncio.shield(work)

    def _thread_free(self, work: asyncio.Future[Any]) -> None:
        self._thread.release()
        if not work.cancelled():
            work.exception()  # nobody may be left to take it


def _evaluated(values: Values, names: Names) -> dict[str, Any]:
    return {name: value.evaluate(names) for name, value in values.items()}


def _is_much(values: Values, names: Names) -> bool:
    found = 0
    for value in values.values():
        found += demand(value, names)
        if found >= ENOUGH:
            return True
    return False

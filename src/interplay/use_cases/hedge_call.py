"""A second call where the first is slow: whichever speaks first is heard, the other is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from interplay.core.models.call_plan import CallPlan, Try
from interplay.ports.clock import Clock
from interplay.use_cases.model_call import Ear, Race

Answer = TypeVar("Answer")
Send = Callable[[Try, Ear], Coroutine[Any, Any, Answer]]


class HedgeCall:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(self, plan: CallPlan, first: Try, race: Race, send: Send[Answer]) -> tuple[Answer, Try]:
        """The answer and the try that gave it. Raises what the last of them raised."""
        at = plan.hedge_at(self._clock.monotonic())
        if at is None:
            return await send(first, race.ear()), first
        entrants: dict[asyncio.Task[Answer], tuple[Try, Ear]] = {}
        try:
            self._enter(entrants, first, race, send)
            await self._until(at, race, entrants)
            if race.winner is None and not _settled(entrants):
                second = plan.hedge(self._clock.monotonic())
                if second is not None:
                    self._enter(entrants, second, race, send)
            return await self._winner(race, entrants)
        finally:
            await _end(list(entrants))

    def _enter(
        self, entrants: dict[asyncio.Task[Answer], tuple[Try, Ear]], step: Try, race: Race, send: Send[Answer]
    ) -> None:
        ear = race.ear()
        entrants[asyncio.create_task(send(step, ear))] = (step, ear)

    async def _until(self, at: float, race: Race, entrants: dict[asyncio.Task[Answer], Any]) -> None:
        """Until then, or until the first call has spoken or ended."""
        timer = asyncio.create_task(self._clock.sleep_until(at))
        decided = asyncio.create_task(race.decided.wait())
        try:
            await asyncio.wait([timer, decided, *entrants], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end([timer, decided])

    async def _winner(self, race: Race, entrants: dict[asyncio.Task[Answer], tuple[Try, Ear]]) -> tuple[Answer, Try]:
        decided = asyncio.create_task(race.decided.wait())
        running = set(entrants)
        failed: asyncio.Task[Answer] | None = None
        try:
            while running:
                done, _ = await asyncio.wait({*running, decided}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & running:
                    running.discard(task)
                    step, ear = entrants[task]
                    if task.exception() is None:
                        race.won_by(ear)
                        return task.result(), step
                    failed = task
                if race.winner is not None:
                    return await self._rest_of(race.winner, entrants)
        finally:
            await _end([decided])
        assert failed is not None
        raise failed.exception() or RuntimeError("a call ended without an answer")

    async def _rest_of(self, winner: Ear, entrants: dict[asyncio.Task[Answer], tuple[Try, Ear]]) -> tuple[Answer, Try]:
        """The whole answer of the one that spoke first; the other is not waited for."""
        await _end([task for task, (_, ear) in entrants.items() if ear is not winner])
        task, step = next((task, step) for task, (step, ear) in entrants.items() if ear is winner)
        return await task, step


def _settled(entrants: dict[asyncio.Task[Answer], Any]) -> bool:
    return all(task.done() for task in entrants)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    """Ends them, and waits for it even where the waiting itself is ended: each writes down what it used."""
    for task in tasks:
        task.cancel()
    stopped = False
    while any(not task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            stopped = True
    for task in tasks:
        if not task.cancelled():
            task.exception()  # nobody else asks a call that lost
    if stopped:
        raise asyncio.CancelledError

"""Slices brought from the allowance store: off the request path where it can be, one round trip for all who wait.

While the store is away the process lives on what it has, then on what it may grant itself (`SliceBook.lend`), and
brings that to account when the store is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.core.tenancy.limits import Meter
from interplay.core.tenancy.slices import Slice, SliceBook
from interplay.ports.allowance_store import AllowanceStore, GiveBack, Want
from interplay.ports.clock import Clock

HEARTBEAT: Final = 3.0  # seconds between two signs of life
IDLE: Final = 5.0  # seconds after which an unused slice is given back; others may need it in this minute
IDLE_MONEY: Final = 60.0  # seconds; a budget is not that urgent, and a caller who comes seldom does not wait for it
ROUND: Final = 0.25  # seconds between two looks at the slices
ANSWER: Final = 2.0  # seconds that the store may take to answer
CLOSED: Final = 0.25  # seconds that a no of the store is believed
Need = tuple[Meter, int]


class LeaseSlices:
    def __init__(self, store: AllowanceStore, book: SliceBook, clock: Clock, process_id: UUID) -> None:
        self._store = store
        self._book = book
        self._clock = clock
        self._process_id = process_id
        self._wants: dict[str, Need] = {}
        self._arrival: asyncio.Future[None] | None = None
        self._flight: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._heard_at = -HEARTBEAT
        self.away = False

    def wake(self) -> None:
        """Some slice of `book.low` will be used up soon."""
        self._wake.set()

    async def bring(self, needs: Iterable[Need]) -> None:
        """Waits for the answer to these, asked together with those of everybody else who waits now.

        Raises Unavailable when the store is away.
        """
        for meter, amount in needs:
            known = self._wants.get(meter.meter_id)
            # the smallest need of all: a larger one that does not fit must not stand in the way of it
            self._wants[meter.meter_id] = (meter, amount if known is None else min(amount, known[1]))
        if self._arrival is None:
            self._arrival = asyncio.get_running_loop().create_future()
            self._arrival.add_done_callback(_seen)
        arrival = self._arrival
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fly())
        await asyncio.shield(arrival)

    async def _fly(self) -> None:
        while self._arrival is not None:
            arrival, self._arrival = self._arrival, None
            needs, self._wants = list(self._wants.values()), {}
            try:
                await self._ask(needs)
            except Unavailable as away:
                arrival.set_exception(away)
            except BaseException:
                arrival.cancel()
                raise
            else:
                arrival.set_result(None)

    async def _ask(self, needs: Sequence[Need]) -> None:
        """Raises Unavailable. What was lent meanwhile is brought to account first."""
        lent = await self._account()
        wants = [Want(meter.meter_id, meter.cap, meter.window, amount) for meter, amount in needs]
        meters = {meter.meter_id: meter for meter, _ in needs}
        try:
            async with asyncio.timeout(ANSWER):
                grants = await self._store.lease(self._process_id, wants)
        except TimeoutError:
            self.away = True
            raise Unavailable("The database takes too long to say what is left of the limits.") from None
        except Unavailable:
            self.away = True
            raise
        now = self._clock.monotonic()
        if self.away or lent:
            self._book.was_away(now, self._clock.now())
        self.away, self._heard_at = False, now
        for grant in grants:
            self._book.processes = max(1, grant.processes)
            kept = self._book.grant(meters[grant.meter_id], grant.amount, now, grant.starts, grant.left)
            kept.remaining = grant.remaining
            kept.closed_until = now + min(CLOSED, grant.left) if not grant.amount else 0.0

    async def _account(self) -> bool:
        """Counts at the store what this process lent itself; whether that was something. Raises Unavailable."""
        lent = [(kept, kept.lent) for kept in self._book if kept.lent]
        if lent:
            await self._give([(kept, -amount) for kept, amount in lent])
        for kept, amount in lent:
            kept.granted += amount
            kept.lent -= amount
        return bool(lent)

    async def _return(self, amounts: Sequence[tuple[Slice, int]]) -> None:
        """Takes these from the slices and gives them to the store. When it does not answer nobody knows whether it
        has them: then a debt is kept and told again, and what was to be free again is not, which is the safe side.
        """
        for kept, amount in amounts:
            kept.left -= amount
            kept.granted -= amount
        try:
            if amounts:
                await self._give(amounts)
        except Unavailable:
            for kept, amount in amounts:
                kept.left += min(0, amount)
                kept.granted += amount
            raise

    async def _give(self, amounts: Sequence[tuple[Slice, int]]) -> None:
        """Raises Unavailable."""
        given = [GiveBack(kept.meter.meter_id, kept.meter.window, kept.starts, amount) for kept, amount in amounts]
        try:
            async with asyncio.timeout(ANSWER):
                await self._store.give_back(self._process_id, given)
        except TimeoutError:
            self.away = True
            raise Unavailable("The database takes too long to take back what is left of the limits.") from None
        except Unavailable:
            self.away = True
            raise

    async def run(self) -> None:
        """Fills slices that run low, gives back idle ones, pays debts, says that the process is alive."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ROUND):
                    await self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(Unavailable):
                await self._round()
            if self.away:
                await asyncio.sleep(ROUND)

    async def _round(self) -> None:
        now = self._clock.monotonic()
        needs: list[Need] = []
        if not self.away:  # else only a sign of life: what is leased and never heard of is nobody's
            low, self._book.low = self._book.low, {}
            needs = [(meter, 1) for meter in low.values() if self._worth_asking(meter, now)]
        if needs or self.away or now - self._heard_at >= HEARTBEAT:
            await self.bring(needs)
        idle = []
        for kept in self._book:
            if now >= kept.ends:
                self._book.forget(kept)
            elif kept.left < 0 or (kept.left > 0 and now - kept.used_at > _patience(kept)):
                idle.append((kept, kept.left))
        await self._return(idle)

    def _worth_asking(self, meter: Meter, now: float) -> bool:
        """Not where a slice came since it ran low: what one process has too much of, others lack."""
        kept = self._book.get(meter, now)
        wanted = kept is None or (kept.left < kept.low and kept.closed_until <= now)
        return wanted and self._book.may_ask(meter, 1, now)

    async def close(self) -> None:
        """Gives everything back; the store forgets this process. What is used later is not counted."""
        if self._flight is not None:
            await asyncio.gather(self._flight, return_exceptions=True)
        with contextlib.suppress(Unavailable, TimeoutError):
            await self._account()
            now = self._clock.monotonic()
            await self._return([(kept, kept.left) for kept in self._book if kept.left and now < kept.ends])
            async with asyncio.timeout(ANSWER):
                await self._store.retire(self._process_id)


def _patience(kept: Slice) -> float:
    return IDLE_MONEY if kept.meter.what == "usd" else IDLE


def _seen(arrival: asyncio.Future[None]) -> None:
    """A failure that nobody waits for any more is no news."""
    if not arrival.cancelled():
        arrival.exception()

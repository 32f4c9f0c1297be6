"""Whether a call may be made: whose key it is, and whether limits and budgets have room for it.

`authenticate` and `reserve` are plain Python over memory: no request waits for the database. Only when a slice is
used up before the background task has brought the next one, `reserve_slowly` waits for it, at most a second.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from interplay.core.errors import BudgetReached, InterplayError, LimitReached, Unauthorized, Unavailable
from interplay.core.tenancy.keys import Caller, digest_of
from interplay.core.tenancy.limits import MICROS, Meter
from interplay.core.tenancy.slices import Slice, SliceBook, amount_of
from interplay.core.tenancy.windows import bounds
from interplay.ports.allowance_store import AllowanceStore
from interplay.ports.clock import Clock
from interplay.use_cases.lease_slices import LeaseSlices

PATIENCE: Final = 1.0  # seconds that a call waits for a slice
_NAMES: Final = {"requests": "requests a minute", "tokens": "tokens a minute", "concurrency": "calls at once"}


class Reservation:
    """What one call has taken. Settle or release it exactly once; a second time does nothing."""

    __slots__ = ("micros", "taken", "tokens")

    def __init__(self, taken: list[Slice], tokens: int, micros: int) -> None:
        self.taken = taken
        self.tokens = tokens
        self.micros = micros


class AdmitCall:
    """`callers`: the present snapshot's callers by the digest of their secret."""

    def __init__(
        self, store: AllowanceStore, clock: Clock, process_id: UUID, callers: Callable[[], Mapping[bytes, Caller]]
    ) -> None:
        self.book = SliceBook()
        self._clock = clock
        self._monotonic = clock.monotonic
        self._callers = callers
        self._leases = LeaseSlices(store, self.book, clock, process_id)

    async def run(self) -> None:
        """The background task: until it is cancelled."""
        await self._leases.run()

    async def close(self) -> None:
        """At the end of the process: unused slices go back."""
        await self._leases.close()

    def authenticate(self, token: bytes) -> Caller:
        """Raises Unauthorized. No database: a flood of bad keys costs a digest each."""
        caller = self._callers().get(digest_of(token)) if token else None
        if caller is None or (caller.ends_at is not None and self._clock.now() >= caller.ends_at):
            raise Unauthorized(
                "This key is not valid here." if token else "A key is needed here.",
                where="Authorization",
                advice="Send `Authorization: Bearer ik_…`; `interplay keys list` shows the keys that there are.",
            )
        return caller

    def reserve(self, caller: Caller, meters: tuple[Meter, ...], tokens: int, micros: int) -> Reservation | None:
        """Takes one request, the estimated tokens and micro-dollars. `meters`: those of the model and deployment.

        None: some slice has too little; `reserve_slowly` knows more.
        """
        return self._take(caller.meters + meters, tokens, micros)

    def _take(self, meters: tuple[Meter, ...], tokens: int, micros: int) -> Reservation | None:
        book = self.book
        taken = book.take_all(meters, tokens, micros, self._monotonic())
        if book.low:
            self._leases.wake()
        return None if taken is None else Reservation(taken, tokens, micros)

    async def reserve_slowly(self, caller: Caller, meters: tuple[Meter, ...], tokens: int, micros: int) -> Reservation:
        """Raises LimitReached or BudgetReached; Unavailable when the database is away and a budget is unknown."""
        wanted = caller.meters + meters
        deadline = self._monotonic() + PATIENCE
        while True:
            reservation = self._take(wanted, tokens, micros)
            if reservation is not None:
                return reservation
            missing = self._missing(wanted, tokens, micros)
            if not await self._brought(missing, deadline):
                # asked anew: another call that waited too may have lent enough for both
                self._lend(self._missing(wanted, tokens, micros))

    async def _brought(self, missing: list[tuple[Meter, int]], deadline: float) -> bool:
        """Whether the store answered in time; it is not asked while it is known to be away."""
        if self._leases.away:
            return False
        try:
            async with asyncio.timeout(max(0.0, deadline - self._monotonic())):
                await self._leases.bring(missing)
        except (TimeoutError, Unavailable):
            return False
        return True

    def _missing(self, meters: tuple[Meter, ...], tokens: int, micros: int) -> list[tuple[Meter, int]]:
        """What has to be asked for. Raises at once where the store has just said that there is not so much."""
        now = self._monotonic()
        missing = []
        for meter in meters:
            amount = amount_of(meter, tokens, micros)
            kept = self.book.get(meter, now)
            short = amount - (kept.left if kept is not None else 0)
            if short <= 0:
                continue
            if short > meter.cap or (kept is not None and kept.closed_until > now and short > kept.remaining):
                raise self._reached(meter, amount, kept, now)
            if not self.book.may_ask(meter, short, now):
                raise self._reached(meter, amount, kept, now)
            missing.append((meter, short))
        return missing

    def _lend(self, missing: list[tuple[Meter, int]]) -> None:
        """The store is away: the process grants itself its share. Raises when that is used up too."""
        now = self._monotonic()
        for meter, amount in missing:
            kept = self.book.get(meter, now)
            needed = amount + (kept.left if kept is not None else 0)
            if self.book.lend(meter, needed, now, self._clock.now()) is not None:
                continue
            if meter.what == "usd":
                raise Unavailable(
                    f"What is left of the budget of {meter.subject} cannot be asked for: the database is away.",
                    where=name_of(meter),
                    retry_after=2.0,
                )
            raise self._reached(meter, needed, self.book.get(meter, now), now)

    def _reached(self, meter: Meter, amount: int, kept: Slice | None, now: float) -> InterplayError:
        left = max(0, (kept.left + kept.remaining) if kept is not None else meter.cap)
        epoch = self._clock.now()
        wait = kept.ends - now if kept is not None else bounds(meter.window, epoch)[1] - epoch
        if meter.what == "usd":
            return _over_budget(meter, amount, left, wait)
        wait = 1.0 if meter.window == "held" else wait
        never = amount > meter.cap
        advice = (
            f"One call may never need more than {meter.cap:,}: ask for fewer tokens, or raise the limit."
            if never
            else f"Come back in {max(1, math.ceil(wait))} s, or raise the limit."
        )
        allowed = f"{meter.subject} may have {meter.cap:,} {_NAMES[meter.what]}"
        detail = f"{allowed}; {left:,} are left and this call needs {amount:,}."
        detail, wish = detail[0].upper() + detail[1:], None if never else wait
        return LimitReached(detail, limit=name_of(meter), retry_after=wish, left=left, advice=advice)

    def settle(self, reservation: Reservation, tokens: int | None, micros: int | None) -> None:
        """What the call really used; None: unknown, so the estimate stands."""
        taken, reservation.taken = reservation.taken, []
        more_tokens = 0 if tokens is None else reservation.tokens - tokens
        more_micros = 0 if micros is None else reservation.micros - micros
        for kept in taken:
            what = kept.meter.what
            if what == "tokens":
                kept.left += more_tokens
            elif what == "usd":
                kept.left += more_micros
            elif what == "concurrency":
                kept.left += 1

    def left(self, caller: Caller | None) -> list[tuple[Meter, int]]:
        """The narrowest limits of a caller's requests and tokens, with what is left as this process knows it: all of
        it where the minute turned while the call was on its way."""
        if caller is None or not caller.shown:
            return []
        now, found = self._monotonic(), []
        for meter in caller.shown:
            kept = self.book.get(meter, now)
            if kept is not None:
                found.append((meter, max(0, kept.left + kept.remaining)))
            elif self.book.had(meter):
                found.append((meter, meter.cap))
        return found

    def release(self, reservation: Reservation) -> None:
        """The call was never made: everything goes back."""
        taken, reservation.taken = reservation.taken, []
        self.book.undo(taken, reservation.tokens, reservation.micros)


def name_of(meter: Meter) -> str:
    """The limit's name in answers and headers."""
    return f"{meter.what} of {meter.subject}" if meter.what != "usd" else f"budget of {meter.subject}"


def _over_budget(meter: Meter, amount: int, left: int, wait: float) -> BudgetReached:
    period = {"day": "a day", "month": "a month"}.get(meter.window, "in all")
    return BudgetReached(
        f"The budget of {meter.subject}, {meter.cap / MICROS:g} US dollars {period}, has {left / MICROS:g} left; "
        f"this call may cost {amount / MICROS:g}.",
        limit=name_of(meter),
        retry_after=None if math.isinf(wait) else wait,
        left=left / MICROS,
        advice="Raise it with `interplay budgets create`, or call a cheaper model.",
    )

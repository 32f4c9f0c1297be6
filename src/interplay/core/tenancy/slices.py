"""The slices of one process: what it may spend of each meter before it has to ask again.

A process never counts against a limit by itself: it leases a slice of what is left from the allowance store,
and takes from it in memory. A slice lies in one window; when that is over, so is the slice. What a call really
used is settled against the slice that it was taken from, which may leave it in debt (`left` below zero); the
debt is paid from the next grant, or brought to the store before the slice is given up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from interplay.core.tenancy.limits import Meter
from interplay.core.tenancy.windows import bounds

GRACE: Final = 5.0  # seconds in which all processes have noticed that the store is back


def slice_of(cap: int) -> int:
    """How much of a cap a process takes at once."""
    return max(1, cap // 20)


def amount_of(meter: Meter, tokens: int, micros: int) -> int:
    """What a call with these estimates takes of this meter."""
    what = meter.what
    return tokens if what == "tokens" else micros if what == "usd" else 1


class Slice:
    """What is left of one meter in one window. `ends`, `closed_until` in monotonic seconds."""

    __slots__ = ("closed_until", "ends", "granted", "left", "lent", "low", "meter", "remaining", "starts", "used_at")

    def __init__(self, meter: Meter, starts: int, ends: float) -> None:
        self.meter = meter
        self.starts = starts
        self.ends = ends
        self.left = 0
        self.low = slice_of(meter.cap) / 2  # below it, it is time to ask for more
        self.granted = 0  # by the store, in this window
        self.lent = 0  # by this process to itself, while the store was away
        self.remaining = meter.cap  # in the store, when it was last asked
        self.closed_until = 0.0  # the store said no: it is not asked again before
        self.used_at = 0.0


class SliceBook:
    """All slices of a process. Synchronous; one event loop."""

    def __init__(self) -> None:
        self._slices: dict[str, Slice] = {}
        self.low: dict[str, Meter] = {}  # meters whose slice will be used up soon
        self.processes = 1  # that share the limits, as the store last counted them
        self.offset: float | None = None  # the store's clock minus this process's monotonic one
        self._careful_until = 0.0

    def __iter__(self) -> Iterator[Slice]:
        return iter(list(self._slices.values()))

    def get(self, meter: Meter, now: float) -> Slice | None:
        """The slice of the window that `now` lies in, if there is one."""
        kept = self._slices.get(meter.meter_id)
        return kept if kept is not None and now < kept.ends else None

    def had(self, meter: Meter) -> bool:
        """Whether there was a slice, if only in a window that is over."""
        return meter.meter_id in self._slices

    def take(self, meter: Meter, amount: int, now: float) -> Slice | None:
        """The slice that the amount was taken from. None: there is no slice, or too little on it."""
        kept = self._slices.get(meter.meter_id)
        if kept is None or now >= kept.ends or kept.left < amount:
            return None
        kept.left -= amount
        kept.used_at = now
        return kept

    def take_all(self, meters: tuple[Meter, ...], tokens: int, micros: int, now: float) -> list[Slice] | None:
        """What a call with these estimates takes, of every meter or of none. On the path of every request."""
        slices = self._slices
        taken: list[Slice] = []
        for meter in meters:
            what = meter.what
            amount = tokens if what == "tokens" else micros if what == "usd" else 1
            kept = slices.get(meter.meter_id)
            if kept is None or now >= kept.ends or kept.left < amount:
                if not amount and (kept is None or now >= kept.ends):
                    continue  # nothing is to be taken: a model without a price needs no slice of a budget
                self.undo(taken, tokens, micros)
                return None
            kept.left -= amount
            kept.used_at = now
            if kept.left < kept.low and kept.closed_until <= now:
                self.low[meter.meter_id] = meter
            taken.append(kept)
        return taken

    def undo(self, taken: list[Slice], tokens: int, micros: int) -> None:
        """Everything that `take_all` took goes back."""
        for kept in taken:
            kept.left += amount_of(kept.meter, tokens, micros)

    def put_back(self, taken: Slice, amount: int) -> None:
        """`amount` below zero: more was used than had been taken."""
        taken.left += amount

    def grant(self, meter: Meter, amount: int, now: float, starts: int = 0, left: float = math.inf) -> Slice:
        """Adds what the store granted. `left`: seconds until its window ends."""
        kept = self._slices.get(meter.meter_id)
        if kept is None or kept.starts != starts or now >= kept.ends:
            kept = self._slices[meter.meter_id] = Slice(meter, starts, now + left)
        kept.meter = meter
        kept.low = slice_of(meter.cap) / 2
        kept.ends = now + left
        kept.left += amount
        kept.granted += amount
        if meter.window in ("minute", "day") and not math.isinf(left):
            self.offset = bounds(meter.window, starts)[1] - left - now
        return kept

    def lend(self, meter: Meter, amount: int, now: float, epoch: float) -> Slice | None:
        """While the store is away: what this process may grant itself, so that all processes together stay
        within the limit; None: nothing. `epoch`: this machine's time, if the store's was never heard."""
        kept = self.get(meter, now)
        if kept is None:
            there = epoch if self.offset is None else now + self.offset
            starts, ends = bounds(meter.window, there)
            kept = self._slices[meter.meter_id] = Slice(meter, starts, now + (ends - there))
        room = self._room(kept)
        if kept.left + room < amount:
            return None
        kept.left += room
        kept.lent += room
        return kept

    def was_away(self, now: float, epoch: float) -> None:
        """The store is back. Other processes may not have told it yet what they granted themselves, so until the
        end of this minute none takes more of a limit than its share."""
        later = GRACE + (epoch if self.offset is None else now + self.offset)
        self._careful_until = now + GRACE + bounds("minute", later)[1] - later

    def may_ask(self, meter: Meter, short: int, now: float) -> bool:
        """False: the store would be asked for more than this process's share, soon after an outage."""
        if now >= self._careful_until or meter.window != "minute" or self.processes == 1:
            return True
        kept = self.get(meter, now)
        had = kept.granted + kept.lent if kept is not None else 0
        return had + max(short, slice_of(meter.cap)) <= meter.cap // self.processes

    def _room(self, kept: Slice) -> int:
        """A budget: one more slice. A limit: this process's share of the cap, less what it had. Neither is more
        than this process's share of what the store had left when it was last asked."""
        meter = kept.meter
        share = slice_of(meter.cap) if meter.what == "usd" else meter.cap // self.processes - kept.granted
        return max(0, min(share, kept.remaining // self.processes) - kept.lent)

    def forget(self, kept: Slice) -> None:
        if self._slices.get(kept.meter.meter_id) is kept:
            del self._slices[kept.meter.meter_id]

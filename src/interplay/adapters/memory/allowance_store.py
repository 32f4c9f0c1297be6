"""Allowances in memory: for tests, and a process that is the only one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from interplay.core.tenancy.limits import Window
from interplay.core.tenancy.slices import slice_of
from interplay.core.tenancy.windows import bounds
from interplay.ports.allowance_store import GiveBack, Grant, Want
from interplay.ports.clock import Clock

ALIVE: Final = 15.0  # seconds that a process is believed alive unheard


class MemoryAllowanceStore:
    def __init__(self, clock: Clock, spent: dict[tuple[UUID, str], int] | None = None) -> None:
        self._clock = clock
        self._used: dict[tuple[str, int], int] = defaultdict(int)
        self._held: dict[str, dict[UUID, int]] = defaultdict(lambda: defaultdict(int))
        self._leased: dict[tuple[UUID, str, int], tuple[int, int]] = {}  # micro-dollars and the cap
        self._heard: dict[UUID, float] = {}
        self._spent = spent if spent is not None else {}  # by process and meter: what usage records say

    async def lease(self, process_id: UUID, wants: Sequence[Want]) -> list[Grant]:
        self._heard[process_id] = self._clock.now()
        alive = len(self._alive())
        return [self._grant(process_id, want, alive) for want in wants]

    def _alive(self) -> set[UUID]:
        now = self._clock.now()
        return {process for process, at in self._heard.items() if now - at < ALIVE}

    def _grant(self, process_id: UUID, want: Want, alive: int) -> Grant:
        now = self._clock.now()
        starts, ends = bounds(want.window, now)
        left = want.cap - self._taken(want.meter_id, want.window, starts)
        amount = 0 if left < want.amount else max(want.amount, min(slice_of(want.cap), left // 2))
        if want.window == "held":
            self._held[want.meter_id][process_id] += amount
        else:
            self._used[want.meter_id, starts] += amount
            self._lend(process_id, want.meter_id, starts, amount, want.cap)
        return Grant(want.meter_id, amount, ends - now, alive, starts, max(0, left - amount))

    def _taken(self, meter_id: str, window: Window, starts: int) -> int:
        if window != "held":
            return self._used[meter_id, starts]
        alive = self._alive()
        return sum(amount for process, amount in self._held[meter_id].items() if process in alive)

    def _lend(self, process_id: UUID, meter_id: str, starts: int, amount: int, cap: int) -> None:
        if meter_id.startswith("usd:"):
            before, known = self._leased.get((process_id, meter_id, starts), (0, cap))
            self._leased[process_id, meter_id, starts] = (before + amount, cap or known)

    async def give_back(self, process_id: UUID, returned: Sequence[GiveBack]) -> None:
        for back in returned:
            if back.window == "held":
                held = self._held[back.meter_id]
                held[process_id] = max(0, held[process_id] - back.amount)
            elif bounds(back.window, self._clock.now())[0] == back.starts:
                place = (back.meter_id, back.starts)
                self._used[place] = max(0, self._used[place] - back.amount)
                self._lend(process_id, back.meter_id, back.starts, -back.amount, 0)

    async def retire(self, process_id: UUID) -> None:
        self._heard.pop(process_id, None)
        for held in self._held.values():
            held.pop(process_id, None)
        for place in [place for place in self._leased if place[0] == process_id]:
            del self._leased[place]

    async def reconcile(self, quiet: float) -> int:
        now = self._clock.now()
        settled = 0
        for process_id, meter_id, starts in list(self._leased):
            if now - self._heard.get(process_id, 0.0) <= quiet:
                continue
            amount, cap = self._leased.pop((process_id, meter_id, starts))
            unspent = max(0, min(slice_of(cap), amount - self._spent.get((process_id, meter_id), 0)))
            self._used[meter_id, starts] = max(0, self._used[meter_id, starts] - unspent)
            settled += 1
        return settled

    async def used(self, meter_ids: Sequence[str]) -> dict[str, int]:
        found = {}
        for meter_id in meter_ids:
            now = self._clock.now()
            periods: tuple[Window, ...] = ("minute", "day", "month", "total")
            found[meter_id] = max(self._used.get((meter_id, bounds(p, now)[0]), 0) for p in periods)
            found[meter_id] += self._taken(meter_id, "held", 0)
        return found

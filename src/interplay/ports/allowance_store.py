"""What is left of limits and budgets, shared by all processes: leased in slices, never past a cap.

Windows are the minute, day and month (UTC) of the store's own clock. A `held` allowance (calls at once) belongs
to its process until it is given back, and is free again when the process has not been heard of for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from interplay.core.tenancy.limits import Window


@dataclass(frozen=True, slots=True)
class Want:
    """`amount`: the least that is of use. A want of 0 for `held` only renews; the store adds a slice's worth."""

    meter_id: str
    cap: int
    window: Window
    amount: int


@dataclass(frozen=True, slots=True)
class Grant:
    """`amount` 0: there is too little left, `remaining`. `left`: seconds until the window ends (inf: it does not).

    `starts`: when the window began, in seconds since the epoch; `processes`: how many are alive.
    """

    meter_id: str
    amount: int
    left: float
    processes: int
    starts: int = 0
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Part of a grant, unused. An `amount` below zero: more was used than was granted, and counts from now on."""

    meter_id: str
    window: Window
    starts: int
    amount: int


class AllowanceStore(Protocol):
    async def lease(self, process_id: UUID, wants: Sequence[Want]) -> list[Grant]:
        """One grant a want, in one round trip. Says too that the process is alive, with nothing wanted as well.

        A grant is a slice (a twentieth of the cap), at least the amount wanted, and never more than half of what
        is left unless the amount wanted is.
        """
        ...

    async def give_back(self, process_id: UUID, returned: Sequence[GiveBack]) -> None:
        """Into the window that it came from; nothing for one that is over."""
        ...

    async def retire(self, process_id: UUID) -> None:
        """The process ends: what it holds is free."""
        ...

    async def reconcile(self, quiet: float) -> int:
        """Money leased by processes unheard of for `quiet` seconds, and not spent as far as usage records say,
        may be spent again, at most a slice of each; how many leases were settled. Forgets windows long over."""
        ...

    async def used(self, meter_ids: Sequence[str]) -> dict[str, int]:
        """What of each meter is leased in the present window."""
        ...

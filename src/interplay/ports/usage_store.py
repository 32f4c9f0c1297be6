"""Usage records and their daily sums."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

from interplay.core.models.usage_record import UsageRecord, UsageSum

GroupBy = Literal["project", "key", "model", "deployment", "flow", "day"]


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """`project_id` None: the whole organisation. Days are of UTC; `until` is the last one. None: any."""

    project_id: int | None
    by: tuple[GroupBy, ...] = ()
    since: datetime.date | None = None
    until: datetime.date | None = None
    key_id: UUID | None = None
    alias: str | None = None
    flow: str | None = None


@dataclass(frozen=True, slots=True)
class Priced:
    """A record's new cost, None for an unknown one."""

    record_id: UUID
    usd: float | None


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """Records of one target (`connection/model`, or an alias) from `since` to before `until`, after `after`."""

    project_id: int
    target: str
    since: float
    until: float | None = None
    after: UUID | None = field(default=None)
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Records in the order in which they became durable. `begin` and `end`: places before the first and behind the
    last of them."""

    records: tuple[UsageRecord, ...]
    begin: str
    end: str


class UsageStore(Protocol):
    async def write(self, process_id: UUID, records: Sequence[UsageRecord]) -> int:
        """Keeps them and adds them to the daily sums; how many were new. A record that is there is left alone."""
        ...

    async def sums(self, query: UsageQuery) -> list[UsageSum]:
        """One for each group, ordered by the groups; one in all without a group."""
        ...

    async def latest(self, project_id: int, limit: int, before: UUID | None = None) -> list[UsageRecord]:
        """Newest first."""
        ...

    async def of_target(self, query: RecordQuery) -> list[UsageRecord]:
        """In the order of their ids."""
        ...

    async def reprice(self, priced: Sequence[Priced]) -> None:
        """Sets these costs, and the daily sums with them."""
        ...

    async def unpublished(self, most: int) -> UsagePage:
        """What comes behind the place that was reached, for whoever publishes it. A record is among them once
        everything that was written before it is durable, or never will be: so none is passed over."""
        ...

    async def reach(self, page: UsagePage) -> bool:
        """These are published. False: somebody else was here meanwhile, and these may be published twice."""
        ...

    async def retire(self, keep_days: int) -> int:
        """Forgets records (not sums) older than so many days; how many."""
        ...

"""Usage records in memory; sums are added up when asked for."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord, UsageSum
from interplay.ports.clock import Clock
from interplay.ports.usage_store import GroupBy, Priced, RecordQuery, UsagePage, UsageQuery


class MemoryUsageStore:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[UUID, UsageRecord] = {}
        self._summed: dict[UUID, UsageRecord] = {}  # sums outlive their records
        self._reached = 0

    async def write(self, process_id: UUID, records: Sequence[UsageRecord]) -> int:  # noqa: ARG002
        fresh = {record.record_id: record for record in records if record.record_id not in self._summed}
        self._records |= fresh
        self._summed |= fresh
        return len(fresh)

    async def sums(self, query: UsageQuery) -> list[UsageSum]:
        groups: dict[tuple[str | None, ...], list[UsageRecord]] = {}
        for record in self._summed.values():
            if _asked(record, query):
                groups.setdefault(tuple(_value(record, name) for name in query.by), []).append(record)
        if not query.by and not groups:
            return [UsageSum({})]
        ordered = sorted(groups.items(), key=lambda item: tuple(value or "" for value in item[0]))
        return [_sum(dict(zip(query.by, values, strict=True)), found) for values, found in ordered]

    async def latest(self, project_id: int, limit: int, before: UUID | None = None) -> list[UsageRecord]:
        own = [r for r in self._records.values() if r.project_id == project_id]
        newest = sorted(own, key=lambda record: record.record_id, reverse=True)
        return [record for record in newest if before is None or record.record_id < before][:limit]

    async def of_target(self, query: RecordQuery) -> list[UsageRecord]:
        found = [
            record
            for record in sorted(self._records.values(), key=lambda r: r.record_id)
            if record.project_id == query.project_id
            and query.target in (record.alias, record.deployment)
            and query.since <= record.at
            and (query.until is None or record.at < query.until)
            and (query.after is None or record.record_id > query.after)
        ]
        return found[: query.limit]

    async def reprice(self, priced: Sequence[Priced]) -> None:
        for entry in priced:
            for kept in (self._records, self._summed):
                if (record := kept.get(entry.record_id)) is not None:
                    usage = msgspec.structs.replace(record.usage, usd=entry.usd)
                    kept[entry.record_id] = msgspec.structs.replace(record, usage=usage)

    async def unpublished(self, most: int) -> UsagePage:
        records = tuple(self._summed.values())[self._reached : self._reached + most]
        return UsagePage(records, str(self._reached), str(self._reached + len(records)))

    async def reach(self, page: UsagePage) -> bool:
        if str(self._reached) != page.begin:
            return False
        self._reached = int(page.end)
        return True

    async def retire(self, keep_days: int) -> int:
        oldest = self._clock.now() - keep_days * 86_400
        old = [record.record_id for record in self._records.values() if record.at < oldest]
        for record_id in old:
            del self._records[record_id]
        return len(old)


def _day(record: UsageRecord) -> datetime.date:
    return datetime.datetime.fromtimestamp(record.at, datetime.UTC).date()


def _asked(record: UsageRecord, query: UsageQuery) -> bool:
    day = _day(record)
    return (
        query.project_id in (None, record.project_id)
        and (query.since is None or day >= query.since)
        and (query.until is None or day <= query.until)
        and query.key_id in (None, record.key_id)
        and query.alias in (None, record.alias)
        and query.flow in (None, record.flow)
    )


def _value(record: UsageRecord, name: GroupBy) -> str | None:
    if name == "key":
        return str(record.key_id) if record.key_id is not None else None
    values = {
        "project": str(record.project_id),
        "model": record.alias,
        "deployment": record.deployment,
        "flow": record.flow,
        "day": _day(record).isoformat(),
    }
    return values[name]


def _sum(group: dict[str, str | None], records: Iterable[UsageRecord]) -> UsageSum:
    found = list(records)
    total = Usage(usd=0.0)
    for record in found:
        total += record.usage
    return UsageSum(
        group,
        len(found),
        sum(record.outcome != "ok" for record in found),
        sum(bool(record.cached) for record in found),
        msgspec.structs.replace(total, calls=0),
        sum(record.usage.usd is None for record in found),
        sum(record.seconds for record in found),
        sum(record.estimated for record in found),
    )

"""Usage in PostgreSQL: a batch of records and their part of the daily sums are one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.tenancy_rows import moment
from interplay.adapters.postgres.usage_sql import (
    GROUPS,
    LATEST,
    NOBODY,
    OF_TARGET,
    REACH,
    REACHED,
    REPRICE,
    RETIRE,
    SUMS,
    UNPUBLISHED,
    WRITE,
)
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord, UsageSum
from interplay.ports.usage_store import Priced, RecordQuery, UsagePage, UsageQuery

_TEXT: Final = 500  # characters that a name is kept with


class PostgresUsageStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, process_id: UUID, records: Sequence[UsageRecord]) -> int:
        if not records:
            return 0
        document = msgspec.json.encode([_values(record) for record in records]).decode()
        async with self._database.session() as connection:
            return int(await connection.fetchval(WRITE, process_id, document))

    async def sums(self, query: UsageQuery) -> list[UsageSum]:
        places = ", ".join(str(place) for place in range(1, len(query.by) + 1))
        statement = SUMS.format(
            groups="".join(f'{GROUPS[name]} as "by_{name}", ' for name in query.by),
            grouping=f"group by {places} order by {places}" if places else "",
        )
        values = (query.project_id, query.since, query.until, query.key_id, query.alias, query.flow)
        async with self._database.session() as connection:
            rows = await connection.fetch(statement, *values)
        return [_sum(row, query) for row in rows]

    async def latest(self, project_id: int, limit: int, before: UUID | None = None) -> list[UsageRecord]:
        async with self._database.session() as connection:
            return [_record(row) for row in await connection.fetch(LATEST, project_id, limit, before)]

    async def of_target(self, query: RecordQuery) -> list[UsageRecord]:
        values = (query.project_id, query.target, moment(query.since), moment(query.until), query.after, query.limit)
        async with self._database.session() as connection:
            return [_record(row) for row in await connection.fetch(OF_TARGET, *values)]

    async def reprice(self, priced: Sequence[Priced]) -> None:
        async with self._database.session() as connection:
            await connection.execute(REPRICE, [p.record_id for p in priced], [p.usd for p in priced])

    async def unpublished(self, most: int) -> UsagePage:
        async with self._database.session() as connection:
            place = await connection.fetchrow(REACHED, UUID(NOBODY))
            rows = await connection.fetch(UNPUBLISHED, place["xid"], place["record_id"], most)
        begin = f"{place['xid']}/{place['record_id']}"
        end = f"{rows[-1]['xid']}/{rows[-1]['record_id']}" if rows else begin
        return UsagePage(tuple(_record(row) for row in rows), begin, end)

    async def reach(self, page: UsagePage) -> bool:
        (before, last_before), (xid, last) = page.begin.split("/"), page.end.split("/")
        async with self._database.session() as connection:
            done = await connection.fetchval(REACH, before, UUID(last_before), xid, UUID(last))
        return done is not None

    async def retire(self, keep_days: int) -> int:
        forgotten = 0
        async with self._database.session() as connection:
            while (done := _count(await connection.execute(RETIRE, timedelta(days=keep_days)))) > 0:
                forgotten += done
        return forgotten


def _count(status: str) -> int:
    return int(status.rsplit(" ", 1)[1])


def _text(value: str) -> str:
    return value if len(value) <= _TEXT and "\x00" not in value else value.replace("\x00", "")[:_TEXT]


def _values(record: UsageRecord) -> tuple[Any, ...]:
    """In the order of `usage_sql.COLUMNS`."""
    usage = record.usage
    return (
        record.record_id, moment(record.at), record.project_id, record.key_id, _text(record.alias),
        _text(record.deployment), _text(record.flow), record.run_id, record.status, _text(record.outcome),
        usage.calls, usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens,
        usage.image_tokens, usage.audio_tokens, usage.usd, record.seconds, record.first_token, record.cached,
        record.attempts, record.estimated,
    )  # fmt: skip


def _usage(row: Any, calls: int, usd: float | None) -> Usage:
    return Usage(
        int(row["input_tokens"]), int(row["output_tokens"]), int(row["cached_tokens"]), calls, usd,
        int(row["reasoning_tokens"]), int(row["image_tokens"]), int(row["audio_tokens"]),
    )  # fmt: skip


def _record(row: Any) -> UsageRecord:
    return UsageRecord(
        row["record_id"], row["at"].timestamp(), row["project_id"], row["key_id"], row["alias"], row["deployment"],
        row["flow"], row["run_id"], row["status"], row["outcome"], _usage(row, row["calls"], row["usd"]),
        row["seconds"], row["first_token"], row["cached"], row["attempts"], row["estimated"],
    )  # fmt: skip


def _sum(row: Any, query: UsageQuery) -> UsageSum:
    return UsageSum(
        {name: row[f"by_{name}"] for name in query.by},
        int(row["calls"]),
        int(row["failed"]),
        int(row["cache_hits"]),
        _usage(row, 0, float(row["usd"])),
        int(row["unpriced"]),
        float(row["seconds"]),
        int(row["estimated"]),
    )

"""Runs as callers see them, in PostgreSQL."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from interplay.adapters.postgres import run_sql as sql
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from interplay.adapters.postgres.run_queue import stored_event
from interplay.core.errors import Conflict, IdempotencyConflict, NotFound
from interplay.core.ids import ids_between, only_run
from interplay.core.runs.events import EventKind, RunCancelled, RunRedriven, encode_body
from interplay.core.runs.signals import ENOUGH, MOST_SIGNALS, too_many
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import StoredEvent
from interplay.ports.run_store import (
    BatchCounts,
    BatchSummary,
    CreatedRun,
    LeftSignal,
    NewRun,
    RequestKey,
    RunFilter,
    RunRecord,
    Waiting,
    WaitPlace,
)


class PostgresRunStore:
    def __init__(self, database: Database, failpoints: Failpoints = NO_FAILPOINTS, *, logged: bool = False) -> None:
        """`logged`: the events of all runs that it makes are published; else those of projects that have a webhook."""
        self._database = database
        self._logged = logged
        self._failpoints = failpoints

    async def create(self, runs: Sequence[NewRun], whole: RequestKey | None = None) -> list[CreatedRun]:
        columns = _columns(runs)
        if len(runs) == 1 and not runs[0].journal and whole is None:
            async with self._database.session() as connection:
                return await self._insert(connection, runs, columns)
        async with self._database.transaction() as connection:
            made = await self._insert(connection, runs, columns)
            if whole is not None and made:
                first = made[0].run_id
                await connection.execute(sql.KEEP_KEY, whole.project_id, whole.key, first, whole.digest)
                [row] = await connection.fetch(sql.KEYED, whole.project_id, [whole.key])
                if row["digest"] != whole.digest:
                    raise _used(whole.key, row["run_id"])
            return made

    async def create_within(self, connection: Any, runs: Sequence[NewRun]) -> list[CreatedRun]:
        """As part of a transaction of somebody else's."""
        return await self._insert(connection, runs, _columns(runs))

    async def _insert(self, connection: Any, runs: Sequence[NewRun], columns: list[list[Any]]) -> list[CreatedRun]:
        await self._failpoints.reach(Failpoint.CREATE_BEFORE)
        rows = await connection.fetch(sql.CREATE, *columns, sql.EPOCH_DAY, self._logged)
        made = {row["run_id"]: row for row in rows}
        for run in runs:
            if run.journal and run.run_id in made:
                await connection.execute(sql.JOURNAL, made[run.run_id]["shelf"], run.run_id, *_journal(run))
                await self._copy_blobs(connection, run)
        known = await self._known(connection, [run for run in runs if run.run_id not in made])
        await self._failpoints.reach(Failpoint.CREATE_AFTER)
        return [
            CreatedRun(run.run_id, run.written(row["created_at"], row["deadline_at"]))
            if (row := made.get(run.run_id)) is not None
            else CreatedRun(known[run.idempotency_key or ""], None)
            for run in runs
        ]

    async def _copy_blobs(self, connection: Any, run: NewRun) -> None:
        if run.blobs:
            old, new = zip(*run.blobs, strict=True)
            if await connection.fetchval(sql.COPY_BLOBS, run.run_id, list(old), list(new)) < len(new):
                raise NotFound("A large value of the run is not kept any more.", where=str(run.forked_from))

    async def _known(self, connection: Any, runs: Sequence[NewRun]) -> dict[str, UUID]:
        """The runs that these keys made before. Raises IdempotencyConflict for another request's key."""
        if not runs:
            return {}
        keys = [run.idempotency_key for run in runs]
        rows = {row["key"]: row for row in await connection.fetch(sql.KEYED, runs[0].project_id, keys)}
        for run in runs:
            row = rows[run.idempotency_key]
            if row["digest"] != run.request_digest:
                raise _used(run.idempotency_key, row["run_id"])
        return {key: row["run_id"] for key, row in rows.items()}

    async def queued(self, project_id: int, most: int) -> int:
        async with self._database.session() as connection:
            return int(await connection.fetchval(sql.QUEUED, project_id, most))

    async def get(self, project_id: int, run_id: UUID) -> RunRecord:
        async with self._database.session() as connection:
            row = await connection.fetchrow(sql.GET, project_id, run_id)
        if row is None:
            raise _missing(run_id)
        return _record(row)

    async def find(self, project_id: int, beginning: str) -> UUID:
        async with self._database.session() as connection:
            rows = await connection.fetch(sql.FIND, project_id, *ids_between(beginning))
        return only_run(beginning, [row["run_id"] for row in rows])

    async def page(self, project_id: int, wanted: RunFilter, limit: int, before: UUID | None = None) -> list[RunRecord]:
        async with self._database.session() as connection:
            rows = await connection.fetch(
                sql.PAGE,
                project_id,
                before,
                wanted.flow_name,
                bytes.fromhex(wanted.flow_version) if wanted.flow_version else None,
                [int(status) for status in wanted.status] or None,
                wanted.batch_id,
                wanted.created_after,
                wanted.created_before,
                json.dumps(wanted.labels) if wanted.labels else None,
                limit,
            )
        return [_record(row) for row in rows]

    async def events(self, project_id: int, run_id: UUID, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        async with self._database.session() as connection:
            rows = await connection.fetch(sql.EVENTS, project_id, run_id, after, limit)
            if not rows and after == 0 and await connection.fetchrow(sql.GET, project_id, run_id) is None:
                raise _missing(run_id)
        return [stored_event(row) for row in rows]

    async def cancel(self, project_id: int, run_id: UUID, reason: str) -> RunRecord:
        body = encode_body(RunCancelled(reason))
        async with self._database.session() as connection:
            await self._failpoints.reach(Failpoint.CANCEL_BEFORE)
            await connection.execute(sql.CANCEL, project_id, run_id, reason, int(EventKind.RUN_CANCELLED), body)
            await self._failpoints.reach(Failpoint.CANCEL_AFTER)
        return await self.get(project_id, run_id)

    async def signal(self, project_id: int, run_id: UUID, signal_id: UUID, name: str, body: bytes) -> LeftSignal:
        async with self._database.session() as connection:
            await self._failpoints.reach(Failpoint.SIGNAL_BEFORE)
            row = await connection.fetchrow(sql.SIGNAL, project_id, run_id, signal_id, name, body, MOST_SIGNALS)
            await self._failpoints.reach(Failpoint.SIGNAL_AFTER)
            if row is not None:
                return LeftSignal(True, row["worker_id"], row["queue"])
            if await connection.fetchval(sql.SIGNAL_KNOWN, signal_id, run_id):
                return LeftSignal(False)
        record = await self.get(project_id, run_id)
        if not record.status.ended:
            raise Conflict(too_many(), where=str(run_id), advice=ENOUGH)
        raise Conflict(
            f"The run is {record.status.name.lower()}, so a signal can change nothing any more.", where=str(run_id)
        )

    async def signals(self, project_id: int, run_id: UUID) -> list[tuple[UUID, str, bytes, float]]:
        async with self._database.session() as connection:
            rows = await connection.fetch(sql.SIGNALS, project_id, run_id)
        return [(row["signal_id"], row["name"], row["body"], row["at"]) for row in rows]

    async def redrive(self, project_id: int, run_id: UUID, by: str) -> RunRecord:
        body = encode_body(RunRedriven(by))
        async with self._database.session() as connection:
            done = await connection.fetch(sql.REDRIVE, project_id, run_id, int(EventKind.RUN_REDRIVEN), body)
        record = await self.get(project_id, run_id)
        if not done:
            raise Conflict(
                f"The run is {record.status.name.lower()}; only a dead run can be re-driven.",
                where=str(run_id),
                advice="Fork it from the step that you want to run again.",
            )
        return record

    async def waiting(
        self,
        project_id: int,
        what: str | None,
        limit: int,
        run_id: UUID | None = None,
        after: WaitPlace | None = None,
    ) -> list[Waiting]:
        due_at, run, step = after or (None, None, None)
        place = (math.inf if due_at is None else due_at, run, step)
        async with self._database.session() as connection:
            rows = await connection.fetch(sql.WAITING, project_id, what, run_id, limit, *place)
        return [Waiting(*row.values()) for row in rows]

    async def batch(self, project_id: int, batch_id: UUID) -> BatchCounts:
        async with self._database.session() as connection:
            rows = await connection.fetch(sql.BATCH, project_id, batch_id)
        if not rows:
            raise NotFound(f"There is no batch {batch_id}.", where="batch")
        counts = {RunStatus(row["status"]): row["n"] for row in rows}
        return BatchCounts(batch_id, sum(counts.values()), counts)

    async def batches(
        self, project_id: int, limit: int, before: tuple[float, UUID] | None = None
    ) -> list[BatchSummary]:
        async with self._database.session() as connection:
            found = await connection.fetch(sql.BATCHES, project_id, *(before or (None, None)), limit)
            rows = await connection.fetch(sql.BATCH_COUNTS, project_id, [row["batch_id"] for row in found])
        counts: dict[UUID, dict[RunStatus, int]] = {}
        for row in rows:
            counts.setdefault(row["batch_id"], {})[RunStatus(row["status"])] = row["n"]
        return [
            BatchSummary(
                BatchCounts(batch_id := row["batch_id"], sum(counts[batch_id].values()), counts[batch_id]),
                row["flow_name"],
                row["created_at"],
            )
            for row in found
            if row["batch_id"] in counts
        ]

    async def statistics(self) -> dict[str, Any]:
        async with self._database.session() as connection:
            return {
                "runs": {
                    RunStatus(row["status"]).name.lower(): row["n"]
                    for row in await connection.fetch(sql.RUNS_BY_STATUS)
                },
                "oldest_queued_seconds": await connection.fetchval(sql.OLDEST_QUEUED),
                "workers": [
                    {**dict(row), "worker_id": str(row["worker_id"])} for row in await connection.fetch(sql.WORKERS)
                ],
                "tables": {row["relname"]: row["bytes"] for row in await connection.fetch(sql.SIZES)},
            }


def _columns(runs: Sequence[NewRun]) -> list[list[Any]]:
    return [
        [run.run_id for run in runs],
        [run.project_id for run in runs],
        [run.flow_name for run in runs],
        [bytes.fromhex(run.flow_version) for run in runs],
        [run.input for run in runs],
        [run.queue for run in runs],
        [run.priority for run in runs],
        [run.deadline for run in runs],
        [run.idempotency_key for run in runs],
        [run.request_digest for run in runs],
        [run.batch_id for run in runs],
        [run.forked_from for run in runs],
        [json.dumps(run.labels) if run.labels else None for run in runs],
        [len(run.journal) for run in runs],
        [run.key_id for run in runs],
    ]


def _journal(run: NewRun) -> list[list[Any]]:
    rows = run.journal
    return [list(range(1, len(rows) + 1)), *([row[column] for row in rows] for column in range(4))]


def _used(key: str | None, run_id: UUID) -> IdempotencyConflict:
    return IdempotencyConflict(
        f"The idempotency key {key!r} was used for another request.",
        where="Idempotency-Key",
        advice=f"Use a new key, or look at run {run_id}.",
    )


def _missing(run_id: UUID) -> NotFound:
    return NotFound(f"There is no run {run_id}.", where="run", advice="`interplay runs list` shows the newest runs.")


def _record(row: Any) -> RunRecord:
    return RunRecord(
        run_id=row["run_id"],
        project_id=row["project_id"],
        flow_name=row["flow_name"],
        flow_version=row["flow_version"].hex(),
        status=RunStatus(row["status"]),
        queue=row["queue"],
        priority=row["priority"],
        seq=row["seq"],
        takeovers=row["takeovers"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        finished_at=row["finished_at"],
        cancel_requested=row["cancel_requested"],
        worker_id=row["worker_id"],
        batch_id=row["batch_id"],
        forked_from=row["forked_from"],
        labels=json.loads(row["labels"]) if row["labels"] else {},
        input=row["input"],
        output=row["output"],
        error=row["error"],
        key_id=row["key_id"],
    )

"""The engine's side of the ledger in PostgreSQL: leases, fenced claims, group commits, the reaper."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from interplay.adapters.postgres import engine_sql as sql
from interplay.adapters.postgres.connection import GONE, Database, Line, refuses_a_value, translated
from interplay.adapters.postgres.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from interplay.core.errors import Unavailable
from interplay.core.failures import OVERDUE
from interplay.core.runs.events import EventKind, RunDied, RunFailed, encode_body, encode_value
from interplay.core.runs.signals import Signal
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import (
    ClaimedRun,
    CommitAnswer,
    CommitBatch,
    History,
    Orphan,
    OutcomeUnknown,
    ReapAnswer,
    RenewAnswer,
    Snapshot,
    Standing,
    StoredEvent,
    ValueRefused,
)

_LOOK_BACK = 10_000_000  # microseconds of virtual time below the low-water mark that a claim still reads
_TURNS_EVERY = 1.0  # seconds between claims in which every project has its turn, from its very first run


class PostgresRunQueue:
    """Separate lines for commits, claims, renewals and housekeeping: a renewal never waits behind a commit."""

    def __init__(self, database: Database, failpoints: Failpoints = NO_FAILPOINTS) -> None:
        self._commits = Line(database)
        self._claims = Line(database)
        self._looks = Line(database)  # at signals and standings: a flood of them holds up no commit and no claim
        self._renewals = Line(database)
        self._chores = Line(database, plan_cache_mode="auto", transaction_timeout="10000")
        self._database = database
        self._failpoints = failpoints
        self._low_water = 0
        self._turns_at = 0.0
        self._after_project = 0
        self._projects = 1  # with queued runs, at the last look

    async def close(self) -> None:
        for line in (self._commits, self._claims, self._looks, self._renewals, self._chores):
            await line.close()

    async def register(self, worker_id: UUID, pool: str, capacity: int, lease: float) -> None:
        await self._on(self._renewals, sql.REGISTER, worker_id, pool, capacity, lease, point="register")

    async def renew(self, worker_id: UUID, lease: float) -> RenewAnswer:
        rows = await self._on(self._renewals, sql.RENEW, worker_id, lease, point="renew")
        row = rows[0]
        if not row["alive"]:
            return RenewAnswer(False)
        signalled = tuple(zip(row["signalled"], row["sigs"], strict=True))
        return RenewAnswer(True, tuple(row["cancelled"]), signalled)

    async def claim(self, worker_id: UUID, queue: str, most: int) -> list[ClaimedRun]:
        limit = 1 << max(0, most.bit_length() - 1)  # powers of two: few statements to prepare
        now = time.monotonic()
        turns = now >= self._turns_at
        try:
            rows = await self._take_turns(worker_id, queue, limit) if turns else []
            if not rows:
                low = 0 if turns else self._low_water
                rows = await self._on(self._claims, sql.claim(limit), worker_id, queue, low, point="claim")
        except Unavailable as away:
            raise OutcomeUnknown(away.detail, retry_after=away.retry_after) from away
        if turns:
            self._turns_at = now + _TURNS_EVERY
        elif not rows:
            self._turns_at = min(self._turns_at, now + 0.1)
        if rows and (turns or len(rows) == limit):
            self._low_water = max(0, min(row["vt"] for row in rows) - _LOOK_BACK)
        return [_claimed(row) for row in sorted(rows, key=lambda row: (-row["priority"], row["vt"]))]

    async def _take_turns(self, worker_id: UUID, queue: str, limit: int) -> Any:
        """What projects with many queued runs leave no place for at other times; `limit` of it, shared alike."""
        each = 1 << (max(1, limit // self._projects) - 1).bit_length()
        statement = sql.take_turns(limit, min(each, limit))
        rows = await self._on(self._claims, statement, worker_id, queue, self._after_project, point="claim")
        self._projects = rows[0]["projects"] if rows else 1
        self._after_project = rows[0]["last_project"] if self._projects == sql.TURNS else 0
        return rows

    async def orphans(self, worker_id: UUID, known: Sequence[UUID]) -> list[Orphan]:
        rows = await self._on(self._claims, sql.ORPHANS, worker_id, list(known))
        return [Orphan(row["run_id"], row["fence"]) for row in rows]

    async def adopt(self, worker_id: UUID, orphans: Sequence[Orphan]) -> list[ClaimedRun]:
        ids, fences = [orphan.run_id for orphan in orphans], [orphan.fence for orphan in orphans]
        try:
            rows = await self._on(self._claims, sql.ADOPT, worker_id, ids, fences)
        except Unavailable as away:
            raise OutcomeUnknown(away.detail, retry_after=away.retry_after) from away
        return [_claimed(row) for row in rows]

    async def commit(self, worker_id: UUID, batch: CommitBatch, resend: bool = False) -> CommitAnswer:
        statement = sql.commit(
            changes=bool(batch.changes), waits=bool(batch.waits), waits_over=bool(batch.waits_over), resend=resend
        )
        arguments = _columns(batch)
        async with self._commits.lock:
            try:
                prepared = await self._commits.prepared(statement)
                await self._failpoints.reach(Failpoint.COMMIT_BEFORE)
                row = await prepared.fetchrow(worker_id, *arguments)
                await self._failpoints.reach(Failpoint.COMMIT_AFTER)
            except (*GONE, Unavailable, ValueError, TypeError) as away:
                self._commits.discard()
                if refuses_a_value(away):
                    raise ValueRefused(str(away)) from away
                raise OutcomeUnknown(f"The answer to a commit got lost: {away}") from away
            except asyncio.CancelledError:
                self._commits.discard()  # the statement may still be under way
                raise
        return CommitAnswer(bool(row["alive"]), frozenset(row["changed"] or ()))

    async def standing(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Standing]:
        rows = await self._on(self._looks, sql.STANDING, list(run_ids))
        return {
            row["run_id"]: Standing(
                row["run_id"],
                RunStatus(row["status"]),
                row["worker_id"],
                row["fence"],
                row["sig"],
                row["cancel_requested"],
            )
            for row in rows
        }

    async def history(self, runs: Sequence[ClaimedRun]) -> Mapping[UUID, History]:
        ids = [run.run_id for run in runs]
        snapshots = {
            row["run_id"]: Snapshot(row["seq"], row["body"]) for row in await self._on(self._claims, sql.SNAPSHOTS, ids)
        }
        events: dict[UUID, list[StoredEvent]] = {run_id: [] for run_id in ids}
        for row in await self._on(self._claims, sql.EVENTS, ids, [run.shelf for run in runs]):
            events[row["run_id"]].append(stored_event(row))
        return {run_id: History(snapshots.get(run_id), tuple(events[run_id])) for run_id in ids}

    async def signals(self, run_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Signal, ...]]:
        found: dict[UUID, list[Signal]] = {}
        for row in await self._on(self._looks, sql.SIGNALS, list(run_ids)):
            found.setdefault(row["run_id"], []).append(Signal(row["signal_id"], row["name"], row["body"], row["at"]))
        return {run_id: tuple(signals) for run_id, signals in found.items()}

    async def put_snapshot(self, worker_id: UUID, run: ClaimedRun, snapshot: Snapshot) -> None:
        await self._on(
            self._chores,
            sql.PUT_SNAPSHOT,
            worker_id,
            run.run_id,
            snapshot.seq,
            snapshot.body,
            run.fence,
            point="snapshot",
        )

    async def reap(self, lease: float, takeover_budget: int) -> ReapAnswer:
        async with self._transaction() as connection:
            if not await connection.fetchval(sql.REAP_LOCK):
                return ReapAnswer()
            workers = [row["worker_id"] for row in await connection.fetch(sql.REAP_WORKERS, lease)]
            if not workers:
                return ReapAnswer()
            await self._failpoints.reach(Failpoint.REAP_BETWEEN)
            rows = await connection.fetch(sql.REAP_RUNS, workers, takeover_budget)
            died = [row["run_id"] for row in rows if row["status"] == RunStatus.DEAD]
            for row in rows:
                if row["status"] == RunStatus.DEAD:
                    await self._bury(connection, row)
            await self._failpoints.reach(Failpoint.REAP_AFTER)
        requeued = tuple(row["run_id"] for row in rows if row["status"] != RunStatus.DEAD)
        return ReapAnswer(tuple(workers), requeued, tuple(died))

    async def _bury(self, connection: Any, row: Any) -> None:
        reason = f"{row['takeovers']} workers in a row were lost while they executed this run."
        error = {"failure": {"code": "internal", "detail": reason, "advice": "Find out why, then re-drive it."}}
        body = encode_body(RunDied(reason))
        await connection.execute(sql.DIED, row["run_id"], encode_value(error), int(EventKind.RUN_DIED), body)

    async def retire(self, worker_id: UUID) -> int:
        async with self._transaction() as connection:
            await connection.execute(sql.RETIRE_WORKER, worker_id)
            await self._failpoints.reach(Failpoint.RETIRE_BETWEEN)
            return len(await connection.fetch(sql.RETIRE_RUNS, worker_id))

    async def wake_due(self, most: int) -> int:  # noqa: ARG002 - the statement's limit is a literal
        return len(await self._on(self._chores, sql.WAKE_DUE, point="wake"))

    async def end_overdue(self) -> tuple[UUID, ...]:
        ended = RunFailed(OVERDUE)
        error = encode_value({"failure": msgspec.to_builtins(OVERDUE), "step": None})
        body = encode_body(ended)
        rows = await self._on(self._chores, sql.END_OVERDUE, error, int(ended.kind), body, point="overdue")
        return tuple(row["run_id"] for row in rows)

    # ------------------------------------------------------------------ lines

    async def _on(self, line: Line, statement: str, *arguments: Any, point: str | None = None) -> Any:
        async with line.lock:
            try:
                async with translated():
                    prepared = await line.prepared(statement)
                    if point is not None:
                        await self._failpoints.reach(Failpoint(f"{point}-before"))
                    rows = await prepared.fetch(*arguments)
                    if point is not None:
                        await self._failpoints.reach(Failpoint(f"{point}-after"))
                    return rows
            except BaseException:
                line.discard()  # also when the caller was cancelled: the statement may still be under way
                raise

    def _transaction(self) -> _ChoreTransaction:
        return _ChoreTransaction(self._chores)


class _ChoreTransaction:
    """A transaction on the housekeeping line; any error throws the connection away."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._transaction: Any = None

    async def __aenter__(self) -> Any:
        await self._line.lock.acquire()
        try:
            async with translated():
                connection = await self._line.connection()
                self._transaction = connection.transaction()
                await self._transaction.start()
        except BaseException:
            self._line.discard()
            self._line.lock.release()
            raise
        return connection

    async def __aexit__(self, kind: Any, error: BaseException | None, _trace: Any) -> None:
        try:
            await self._finish(error)
        finally:
            self._line.lock.release()

    async def _finish(self, error: BaseException | None) -> None:
        if error is None:
            try:
                async with translated():
                    await self._transaction.commit()
            except Unavailable:
                self._line.discard()
                raise
            return
        self._line.discard()
        if isinstance(error, GONE):
            raise Unavailable(f"The database does not answer: {error}") from error


def _claimed(row: Any) -> ClaimedRun:
    return ClaimedRun(
        row["run_id"],
        row["project_id"],
        row["fence"],
        row["shelf"],
        row["seq"],
        row["sig"],
        row["flow_version"].hex(),
        row["input"],
        row["created_at"],
        row["deadline_at"],
        row["cancel_requested"],
        row["takeovers"],
        row["forked_from"],
        row["key_id"],
        row["flow_name"],
        row["published"],
    )


def stored_event(row: Any) -> StoredEvent:
    return StoredEvent(row["seq"], row["kind"], row["step_key"], row["attempt"], row["fence"], row["body"], row["at"])


def _columns(batch: CommitBatch) -> list[list[Any]]:
    """The batch as the arrays of the statement, in its order."""
    rows = batch.rows
    columns: list[list[Any]] = [
        [row.shelf for row in rows],
        [row.run_id for row in rows],
        [row.seq for row in rows],
        [row.kind for row in rows],
        [row.step_key for row in rows],
        [row.attempt for row in rows],
        [row.fence for row in rows],
        [row.body for row in rows],
    ]
    if changes := batch.changes:
        columns += [
            [change.run_id for change in changes],
            [change.fence for change in changes],
            [int(change.status) for change in changes],
            [change.seq for change in changes],
            [change.sig for change in changes],
            [change.ready_at for change in changes],
            [change.queue for change in changes],
            [change.output for change in changes],
            [change.error for change in changes],
        ]
    if waits := batch.waits:
        columns += [
            [wait.run_id for wait in waits],
            [wait.step_key for wait in waits],
            [wait.what for wait in waits],
            [wait.name.replace("\0", "") if wait.name else wait.name for wait in waits],
            [wait.due_at for wait in waits],
            [wait.body for wait in waits],
        ]
    if batch.waits_over:
        columns += [[run_id for run_id, _ in batch.waits_over], [key for _, key in batch.waits_over]]
    return columns

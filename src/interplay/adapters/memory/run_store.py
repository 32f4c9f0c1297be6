"""Runs as callers see them, in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from interplay.adapters.memory.ledger import MemoryLedger, RunRow
from interplay.core.errors import Conflict, IdempotencyConflict, NotFound
from interplay.core.ids import ids_between, only_run
from interplay.core.runs.events import RunCancelled, RunRedriven
from interplay.core.runs.signals import DECISIONS, ENOUGH, MOST_SIGNALS, Signal, too_many
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

_UNHELD = (RunStatus.QUEUED, RunStatus.WAITING, RunStatus.DEAD)


class MemoryRunStore:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    async def create(self, runs: Sequence[NewRun], whole: RequestKey | None = None) -> list[CreatedRun]:
        for run in runs:
            if run.idempotency_key is not None:
                self._check_key(run.project_id, run.idempotency_key, run.request_digest)
        if whole is not None:
            self._check_key(whole.project_id, whole.key, whole.digest)
        made = [self._create(run) for run in runs]
        if whole is not None and made:
            self._ledger.keys.setdefault((whole.project_id, whole.key), (made[0].run_id, whole.digest))
        return made

    def _check_key(self, project_id: int, key: str, digest: str | None) -> None:
        known = self._ledger.keys.get((project_id, key))
        if known is not None and known[1] != digest:
            raise IdempotencyConflict(
                f"The idempotency key {key!r} was used for another request.", where="Idempotency-Key"
            )

    def _create(self, run: NewRun) -> CreatedRun:
        if run.idempotency_key is not None:
            key = (run.project_id, run.idempotency_key)
            if key in self._ledger.keys:
                return CreatedRun(self._ledger.keys[key][0], None)
            self._ledger.keys[key] = (run.run_id, run.request_digest)
        for old, new in run.blobs:
            if old not in self._ledger.blobs:
                raise NotFound("A large value of the run is not kept any more.", where=str(run.forked_from))
            self._ledger.blobs[new] = self._ledger.blobs[old]
        now = self._ledger.clock.now()
        row = RunRow(run, len(self._ledger.runs), now, run.queue, seq=len(run.journal))
        row.published = 0 if self._ledger.logged else None
        for seq, (kind, step_key, attempt, body) in enumerate(run.journal, 1):
            row.journal.append(StoredEvent(seq, kind, step_key, attempt, 0, body, now))
        self._ledger.runs[run.run_id] = row
        return CreatedRun(run.run_id, _record(row))

    async def queued(self, project_id: int, most: int) -> int:
        waiting = [
            row
            for row in self._ledger.runs.values()
            if row.status is RunStatus.QUEUED and row.new.project_id == project_id and row.queue == "default"
        ]
        return min(len(waiting), most)

    async def get(self, project_id: int, run_id: UUID) -> RunRecord:
        return _record(self._ledger.run(project_id, run_id))

    async def find(self, project_id: int, beginning: str) -> UUID:
        low, high = ids_between(beginning)
        rows = [row for row in self._ledger.runs.values() if row.new.project_id == project_id]
        found = sorted((row.new.run_id for row in rows if low <= row.new.run_id <= high), reverse=True)
        return only_run(beginning, found[:4])

    async def page(self, project_id: int, wanted: RunFilter, limit: int, before: UUID | None = None) -> list[RunRecord]:
        rows = [row for row in self._ledger.runs.values() if row.new.project_id == project_id and _fits(row, wanted)]
        rows.sort(key=lambda row: row.new.run_id, reverse=True)
        return [_record(row) for row in rows if before is None or row.new.run_id < before][:limit]

    async def events(self, project_id: int, run_id: UUID, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        row = self._ledger.run(project_id, run_id)
        return [event for event in row.journal if event.seq > after][:limit]

    async def cancel(self, project_id: int, run_id: UUID, reason: str) -> RunRecord:
        row = self._ledger.run(project_id, run_id)
        if row.status is RunStatus.RUNNING or row.status in _UNHELD:
            row.cancel_at = row.cancel_at or self._ledger.clock.now()
        if row.status in _UNHELD:
            row.status, row.finished_at = RunStatus.CANCELLED, self._ledger.clock.now()
            row.fence += 1
            row.waits.clear()
            self._ledger.write(row, RunCancelled(reason))
        return _record(row)

    async def signal(self, project_id: int, run_id: UUID, signal_id: UUID, name: str, body: bytes) -> LeftSignal:
        row = self._ledger.run(project_id, run_id)
        if any(signal.signal_id == signal_id for signal in row.signals):
            return LeftSignal(False)
        if row.status.ended:
            raise Conflict(f"The run is {row.status.name.lower()}.", where=str(run_id))
        if row.sig >= MOST_SIGNALS and not name.startswith(DECISIONS):
            raise Conflict(too_many(), where=str(run_id), advice=ENOUGH)
        row.signals.append(Signal(signal_id, name, body, self._ledger.clock.now()))
        row.sig += 1
        if row.status is RunStatus.WAITING:
            row.status, row.ready_at = RunStatus.QUEUED, 0.0
        return LeftSignal(True, row.worker_id, row.queue)

    async def signals(self, project_id: int, run_id: UUID) -> list[tuple[UUID, str, bytes, float]]:
        row = self._ledger.run(project_id, run_id)
        return [(s.signal_id, s.name, s.body, s.at) for s in row.signals]

    async def redrive(self, project_id: int, run_id: UUID, by: str) -> RunRecord:
        row = self._ledger.run(project_id, run_id)
        if row.status is not RunStatus.DEAD:
            raise Conflict(f"The run is {row.status.name.lower()}; only a dead run can be re-driven.")
        row.status, row.takeovers, row.error, row.finished_at = RunStatus.QUEUED, 0, None, None
        row.fence += 1
        self._ledger.write(row, RunRedriven(by))
        return _record(row)

    async def waiting(
        self,
        project_id: int,
        what: str | None,
        limit: int,
        run_id: UUID | None = None,
        after: WaitPlace | None = None,
    ) -> list[Waiting]:
        found = [
            Waiting(w.run_id, row.new.flow_name, w.step_key, w.what, w.name, w.due_at, since, w.body)
            for row in self._ledger.runs.values()
            for w, since in row.waits.values()
            if row.new.project_id == project_id and what in (None, w.what) and run_id in (None, w.run_id)
        ]
        ordered = sorted(found, key=lambda waiting: _order(waiting.place))
        return [waiting for waiting in ordered if after is None or _order(waiting.place) > _order(after)][:limit]

    async def batch(self, project_id: int, batch_id: UUID) -> BatchCounts:
        rows = [r for r in self._ledger.runs.values() if (r.new.project_id, r.new.batch_id) == (project_id, batch_id)]
        if not rows:
            raise NotFound(f"There is no batch {batch_id}.", where="batch")
        counts: dict[RunStatus, int] = {}
        for row in rows:
            counts[row.status] = counts.get(row.status, 0) + 1
        return BatchCounts(batch_id, len(rows), counts)

    async def batches(
        self, project_id: int, limit: int, before: tuple[float, UUID] | None = None
    ) -> list[BatchSummary]:
        first: dict[UUID, RunRow] = {}
        for row in sorted(self._ledger.runs.values(), key=lambda row: (row.created_at, row.order)):
            if row.new.project_id == project_id and row.new.batch_id is not None:
                first.setdefault(row.new.batch_id, row)
        places = sorted(((row.created_at, batch_id) for batch_id, row in first.items()), reverse=True)
        return [
            BatchSummary(await self.batch(project_id, batch_id), first[batch_id].new.flow_name, created_at)
            for created_at, batch_id in [place for place in places if before is None or place < before][:limit]
        ]

    async def statistics(self) -> dict[str, Any]:
        counts: dict[str, int] = {}
        for row in self._ledger.runs.values():
            name = row.status.name.lower()
            counts[name] = counts.get(name, 0) + 1
        workers = [{"worker_id": str(w), "pool": row.pool} for w, row in self._ledger.workers.items()]
        return {"runs": counts, "oldest_queued_seconds": None, "workers": workers, "tables": {}}


def _order(place: WaitPlace) -> tuple[float, UUID, str]:
    due_at, run_id, step_key = place
    return (math.inf if due_at is None else due_at), run_id, step_key


def _fits(row: RunRow, wanted: RunFilter) -> bool:
    return (
        wanted.flow_name in (None, row.new.flow_name)
        and wanted.flow_version in (None, row.new.flow_version)
        and (not wanted.status or row.status in wanted.status)
        and wanted.batch_id in (None, row.new.batch_id)
        and (wanted.created_after is None or row.created_at >= wanted.created_after)
        and (wanted.created_before is None or row.created_at < wanted.created_before)
        and wanted.labels.items() <= row.new.labels.items()
    )


def _record(row: RunRow) -> RunRecord:
    new = row.new
    return RunRecord(
        new.run_id,
        new.project_id,
        new.flow_name,
        new.flow_version,
        row.status,
        row.queue,
        new.priority,
        row.seq,
        row.takeovers,
        row.created_at,
        row.created_at + new.deadline if new.deadline is not None else None,
        row.finished_at,
        row.cancel_at is not None,
        row.worker_id,
        new.batch_id,
        new.forked_from,
        new.labels,
        new.input,
        row.output,
        row.error,
        new.key_id,
    )

"""The engine's side of the ledger, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import msgspec

from interplay.adapters.memory.ledger import MemoryLedger, RunRow, WorkerRow
from interplay.core.failures import OVERDUE
from interplay.core.runs.events import RunDied, RunFailed, encode_value
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
    RunChange,
    Snapshot,
    Standing,
    StoredEvent,
    ValueRefused,
)

_LAST_MOMENT = 2.0e11  # seconds since the epoch, either way: about what PostgreSQL can keep


class MemoryRunQueue:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._clock = ledger.clock

    async def register(self, worker_id: UUID, pool: str, capacity: int, lease: float) -> None:
        worker = WorkerRow(pool, capacity, self._clock.monotonic() + lease)
        self._ledger.workers.setdefault(worker_id, worker)

    async def renew(self, worker_id: UUID, lease: float) -> RenewAnswer:
        if not self._ledger.alive(worker_id):
            return RenewAnswer(False)
        self._ledger.workers[worker_id].lease_until = self._clock.monotonic() + lease
        mine = self._owned(worker_id)
        cancelled = tuple(run_id for run_id, row in mine.items() if row.cancel_at is not None)
        return RenewAnswer(True, cancelled, tuple((run_id, row.sig) for run_id, row in mine.items() if row.sig))

    def _owned(self, worker_id: UUID) -> dict[UUID, RunRow]:
        return {
            run_id: row
            for run_id, row in self._ledger.runs.items()
            if row.worker_id == worker_id and row.status is RunStatus.RUNNING
        }

    async def retire(self, worker_id: UUID) -> int:
        mine = self._owned(worker_id)
        if worker_id in self._ledger.workers:
            self._ledger.remove_worker(worker_id)
        for row in mine.values():
            self._requeue(row)
        return len(mine)

    def _requeue(self, row: RunRow) -> None:
        row.status, row.worker_id, row.ready_at = RunStatus.QUEUED, None, 0.0
        row.fence += 1
        row.seq = row.journal[-1].seq if row.journal else row.seq

    async def claim(self, worker_id: UUID, queue: str, most: int) -> list[ClaimedRun]:
        if not self._ledger.alive(worker_id):
            return []
        now = self._clock.now()
        ready = [
            row
            for row in self._ledger.runs.values()
            if row.status is RunStatus.QUEUED and row.queue == queue and row.ready_at <= now
        ]
        turns: dict[int, int] = {}
        places: list[tuple[int, int, int, RunRow]] = []
        for row in sorted(ready, key=_rank):
            turn = turns[row.new.project_id] = turns.get(row.new.project_id, 0) + 1
            places.append((turn, *_rank(row), row))
        claimed = sorted((row for *_, row in sorted(places)[:most]), key=_rank)
        for row in claimed:
            row.status, row.worker_id = RunStatus.RUNNING, worker_id
            row.fence += 1
        return [_claimed(row) for row in claimed]

    async def orphans(self, worker_id: UUID, known: Sequence[UUID]) -> list[Orphan]:
        mine = self._owned(worker_id)
        return [Orphan(run_id, row.fence) for run_id, row in mine.items() if run_id not in known]

    async def adopt(self, worker_id: UUID, orphans: Sequence[Orphan]) -> list[ClaimedRun]:
        if not self._ledger.alive(worker_id):
            return []
        mine = self._owned(worker_id)
        adopted = [mine[run_id] for run_id, fence in orphans if run_id in mine and mine[run_id].fence == fence]
        for row in adopted:
            row.fence += 1
            row.seq = row.journal[-1].seq if row.journal else row.seq
        return [_claimed(row) for row in adopted]

    async def commit(self, worker_id: UUID, batch: CommitBatch, resend: bool = False) -> CommitAnswer:
        if not self._ledger.alive(worker_id):
            return CommitAnswer(False, frozenset())
        if any(wait.due_at is not None and not abs(wait.due_at) < _LAST_MOMENT for wait in batch.waits):
            raise ValueRefused("A time is out of the range that the ledger has.")
        now = self._clock.now()
        there = [new for new in batch.rows if new.seq in self._ledger.runs[new.run_id].numbers]
        if there and not resend:
            raise OutcomeUnknown("Events are there already: nothing was written.")
        for new in batch.rows:
            if new not in there:
                event = StoredEvent(new.seq, new.kind, new.step_key, new.attempt, new.fence, new.body, now)
                self._ledger.runs[new.run_id].journal.append(event)
        for wait in batch.waits:
            if self._ledger.runs[wait.run_id].worker_id == worker_id:
                self._ledger.runs[wait.run_id].waits[wait.step_key] = (wait, now)
        for run_id, key in batch.waits_over:
            self._ledger.runs[run_id].waits.pop(key, None)
        return CommitAnswer(True, frozenset(c.run_id for c in batch.changes if self._change(worker_id, c)))

    def _change(self, worker_id: UUID, change: RunChange) -> bool:
        row = self._ledger.runs[change.run_id]
        if row.fence != change.fence or row.worker_id != worker_id or row.status is not RunStatus.RUNNING:
            return False
        if change.status is RunStatus.WAITING and (row.sig != change.sig or row.cancel_at is not None):
            return False
        row.status, row.seq, row.worker_id = change.status, change.seq, None
        row.output, row.error = change.output, change.error
        row.queue = change.queue or row.queue
        if change.status is RunStatus.WAITING:
            row.ready_at = change.ready_at if change.ready_at is not None else float("inf")
        elif change.status.ended:
            row.finished_at = self._clock.now()
            row.waits.clear()
        return True

    async def standing(self, run_ids: Sequence[UUID]) -> Mapping[UUID, Standing]:
        rows = {run_id: self._ledger.runs[run_id] for run_id in run_ids if run_id in self._ledger.runs}
        return {
            run_id: Standing(run_id, row.status, row.worker_id, row.fence, row.sig, row.cancel_at is not None)
            for run_id, row in rows.items()
        }

    async def history(self, runs: Sequence[ClaimedRun]) -> Mapping[UUID, History]:
        found = {}
        for run in runs:
            row = self._ledger.runs[run.run_id]
            after = row.snapshot.seq if row.snapshot is not None else 0
            events = tuple(event for event in row.journal if event.seq > after)
            found[run.run_id] = History(row.snapshot, events)
        return found

    async def signals(self, run_ids: Sequence[UUID]) -> Mapping[UUID, tuple[Signal, ...]]:
        return {run_id: tuple(self._ledger.runs[run_id].signals) for run_id in run_ids}

    async def put_snapshot(self, worker_id: UUID, run: ClaimedRun, snapshot: Snapshot) -> None:
        row = self._ledger.runs[run.run_id]
        if self._ledger.alive(worker_id) and row.worker_id == worker_id and row.fence == run.fence:
            row.snapshot = snapshot

    async def reap(self, lease: float, takeover_budget: int) -> ReapAnswer:  # noqa: ARG002
        now = self._clock.monotonic()
        dead = [worker_id for worker_id, worker in self._ledger.workers.items() if worker.lease_until <= now]
        requeued: list[UUID] = []
        died: list[UUID] = []
        for worker_id in dead:
            mine = self._owned(worker_id)
            self._ledger.remove_worker(worker_id)
            for run_id, row in mine.items():
                self._requeue(row)
                spent = row.takeovers >= takeover_budget
                row.takeovers += 1
                (died if spent else requeued).append(run_id)
                if spent:
                    self._bury(row)
        return ReapAnswer(tuple(dead), tuple(requeued), tuple(died))

    def _bury(self, row: RunRow) -> None:
        reason = f"{row.takeovers} workers in a row were lost while they executed this run."
        row.status, row.finished_at = RunStatus.DEAD, self._clock.now()
        row.error = encode_value({"failure": {"code": "internal", "detail": reason}})
        self._ledger.write(row, RunDied(reason))

    async def wake_due(self, most: int) -> int:
        now = self._clock.now()
        due = [r for r in self._ledger.runs.values() if r.status is RunStatus.WAITING and r.ready_at <= now][:most]
        for row in due:
            row.status, row.ready_at = RunStatus.QUEUED, 0.0
        return len(due)

    async def end_overdue(self) -> tuple[UUID, ...]:
        now = self._clock.now()
        ended = []
        for run_id, row in self._ledger.runs.items():
            deadline = _deadline(row)
            if row.status is RunStatus.QUEUED and deadline is not None and deadline <= now:
                row.status, row.finished_at, row.fence = RunStatus.FAILED, now, row.fence + 1
                row.error = encode_value({"failure": msgspec.to_builtins(OVERDUE), "step": None})
                row.waits.clear()
                self._ledger.write(row, RunFailed(OVERDUE))
                ended.append(run_id)
        return tuple(ended)


def _rank(row: RunRow) -> tuple[int, int]:
    """Best priority and oldest first."""
    return -row.new.priority, row.order


def _deadline(row: RunRow) -> float | None:
    return row.created_at + row.new.deadline if row.new.deadline is not None else None


def _claimed(row: RunRow) -> ClaimedRun:
    run = ClaimedRun(
        row.new.run_id,
        row.new.project_id,
        row.fence,
        0,
        row.seq,
        row.sig,
        row.new.flow_version,
        row.new.input,
        row.created_at,
        _deadline(row),
        row.cancel_at is not None,
        row.takeovers,
    )
    flow, published = row.new.flow_name, row.published
    return replace(run, forked_from=row.new.forked_from, key_id=row.new.key_id, flow_name=flow, published=published)

"""Snapshots of long runs, so that taking one over reads little."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from interplay.core.errors import Unavailable
from interplay.core.runs.compaction import compact, pack, unpack
from interplay.core.runs.events import Event, decode_body
from interplay.ports.run_queue import RunQueue, Snapshot

if TYPE_CHECKING:
    from interplay.use_cases.execute_run import RunExecution

EVERY = 1000  # events between two snapshots of a run


class TakeSnapshot:
    """Reads what is committed, shortens it, and keeps that beside the journal."""

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue

    async def run(self, worker_id: UUID, execution: RunExecution) -> None:
        run = execution.run
        taken = execution.snapshot_seq
        try:
            history = (await self._queue.history([run])).get(run.run_id)
            if history is None or not history.events:
                return
            known = unpack(history.snapshot.body) if history.snapshot is not None else []
            since = [Event(e.seq, e.step_key, e.attempt, decode_body(e.kind, e.body)) for e in history.events]
            snapshot = Snapshot(history.events[-1].seq, pack(compact(known + since)))
            await self._queue.put_snapshot(worker_id, run, snapshot)
            taken = snapshot.seq
        except Unavailable:
            pass  # a snapshot saves time; the journal has everything
        finally:
            execution.snapshot_taken(taken)

"""The ledger's side of the event log, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from interplay.adapters.memory.ledger import MemoryLedger, RunRow
from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent, LoggedRow, LoggedRun, logged_event
from interplay.core.runs.status import RunStatus
from interplay.ports.log_store import UnpublishedRun


class MemoryLogStore:
    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger

    async def unpublished(self, most: int) -> list[UnpublishedRun]:
        found = [
            UnpublishedRun(_run(row), row.published, row.seq)
            for row in self._ledger.runs.values()
            if row.published is not None and row.published < row.seq and row.status >= RunStatus.WAITING
        ]
        return found[:most]

    async def events(self, runs: Mapping[UUID, int], most: int) -> list[LoggedEvent]:
        found: list[LoggedEvent] = []
        for run_id, after in runs.items():
            row = self._ledger.runs.get(run_id)
            if row is None:
                continue
            for event in [event for event in row.journal if event.seq > after][:most]:
                output = row.output if event.kind == EventKind.RUN_SUCCEEDED else None
                place = LoggedRow(event.seq, event.kind, event.step_key, event.attempt, event.body, event.at, output)
                found.append(logged_event(_run(row), place))
        return found

    async def mark(self, published: Mapping[UUID, int]) -> frozenset[UUID]:
        moved: set[UUID] = set()
        for run_id, seq in published.items():
            row = self._ledger.runs.get(run_id)
            if row is not None and row.published is not None and row.published < seq:
                row.published = seq
                moved.add(run_id)
        return frozenset(moved)


def _run(row: RunRow) -> LoggedRun:
    return LoggedRun(row.new.run_id, row.new.project_id, row.new.flow_name, row.new.flow_version)

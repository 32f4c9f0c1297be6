"""Replays a finished run from its tape, without any call outside, and says whether it ends the same."""

from __future__ import annotations

from uuid import UUID

from interplay.core.errors import Conflict
from interplay.core.runs.events import decode_value
from interplay.core.runs.replaying import ReplayReport, replay
from interplay.ports.run_store import RunStore
from interplay.use_cases.read_history import ReadHistory


class ReplayRun:
    def __init__(self, runs: RunStore, history: ReadHistory) -> None:
        self._runs = runs
        self._history = history

    async def run(self, project_id: int, run_id: UUID) -> ReplayReport:
        """Raises NotFound, and Conflict for a run that has not ended."""
        record = await self._runs.get(project_id, run_id)
        if not record.status.ended:
            raise Conflict(
                f"The run is {record.status.name.lower()}; only a run that has ended can be replayed.",
                where=str(run_id),
                advice="Wait for it, or cancel it.",
            )
        events = await self._history.events(project_id, run_id, values=True)
        plan = await self._history.plan(record)
        pinned = await self._history.pinned(events)
        inputs = decode_value(record.input) if record.input else {}
        output = await self._history.output(record)
        return replay(plan, pinned, str(run_id), inputs, events, output)

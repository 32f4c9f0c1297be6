"""What people and programs may do to a run under way: cancel, signal, decide, re-drive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from interplay.core.errors import Conflict, InvalidInput, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import decode_value, encode_value
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import RunRecord, RunStore, Waiting


@dataclass(frozen=True, slots=True)
class Decision:
    """`decision`: approve or reject. `by`: who, as the audit should name them."""

    decision: str
    by: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    comment: str | None = None


class SteerRun:
    def __init__(self, runs: RunStore, bus: EventBus, new_id: Callable[[], UUID]) -> None:
        self._runs = runs
        self._bus = bus
        self._new_id = new_id

    async def cancel(self, project_id: int, run_id: UUID, reason: str) -> RunRecord:
        """An ended run stays as it is; a running one stops within the renewal of its worker's lease."""
        record = await self._runs.cancel(project_id, run_id, reason)
        self._hint(record)
        return record

    async def signal(self, project_id: int, run_id: UUID, name: str, payload: Any, key: str | None = None) -> bool:
        """False when a signal with this key is there already. Raises NotFound, Conflict for an ended run."""
        signal_id = derived_uuid("signal", str(run_id), name, key) if key is not None else self._new_id()
        fresh = await self._runs.signal(project_id, run_id, signal_id, name, encode_value(payload))
        self._hint(await self._runs.get(project_id, run_id))
        return fresh

    async def decide(self, project_id: int, run_id: UUID, step_key: str, decision: Decision) -> bool:
        """One decision a person and approval counts; a second of the same person changes nothing.

        Raises NotFound when nothing waits there, InvalidInput for another word than approve or reject.
        """
        if decision.decision not in ("approve", "reject"):
            raise InvalidInput(f"{decision.decision!r} is no decision.", where="decision", advice="approve or reject.")
        waiting = await self.approval(project_id, run_id, step_key)
        who = (decode_value(waiting.body) or {}).get("who") or []
        if who and decision.by not in who:
            raise Conflict(
                f"{decision.by!r} may not decide this.", where=step_key, advice=f"Asked are: {', '.join(who)}."
            )
        payload = {
            "decision": decision.decision,
            "by": decision.by,
            "fields": dict(decision.fields),
            "comment": decision.comment,
        }
        return await self.signal(project_id, run_id, waiting.name or "", payload, f"decision:{decision.by}")

    async def approval(self, project_id: int, run_id: UUID, step_key: str) -> Waiting:
        await self._runs.get(project_id, run_id)
        waiting = await self._runs.waiting(project_id, "approval", 1000, run_id)
        for entry in waiting:
            if entry.step_key == step_key:
                return entry
        raise NotFound.named("waiting approval", step_key, [entry.step_key for entry in waiting])

    async def redrive(self, project_id: int, run_id: UUID, by: str) -> RunRecord:
        record = await self._runs.redrive(project_id, run_id, by)
        self._hint(record)
        return record

    def _hint(self, record: RunRecord) -> None:
        """Tells the owner, or whoever may claim it; the poll would find it, too."""
        run = str(record.run_id)
        if record.worker_id is not None:
            self._bus.publish(f"worker.{record.worker_id}", {"run": run})
        else:
            self._bus.publish(f"queue.{record.queue}", {"run": run})
        self._bus.publish(f"run.{run}", {"type": "committed", "seq": record.seq, "ended": record.status.ended})

"""A run as people and programs see it: the same shape in the API, in `--json` and in the client."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from interplay.core.models.usage import Usage
from interplay.core.runs.events import Event, StepSucceeded, decode_value
from interplay.core.runs.explain import explain
from interplay.core.runs.log import facts_of
from interplay.core.runs.timeline import StepSpan, Timeline, timeline
from interplay.core.runs.waiting import as_data
from interplay.ports.run_store import RunRecord, RunStore
from interplay.use_cases.read_history import ReadHistory

INLINE = 64 * 1024  # characters of a value that a list of steps may hold


class ViewRun:
    def __init__(self, runs: RunStore, history: ReadHistory) -> None:
        self._runs = runs
        self._history = history

    async def summary(self, project_id: int, run_id: UUID) -> dict[str, Any]:
        """`run`, `status`, `output`, `error` and what is known without reading the journal."""
        return await self.of(await self._runs.get(project_id, run_id))

    async def of(self, record: RunRecord) -> dict[str, Any]:
        return {
            **listed(record),
            "inputs": decode_value(record.input) if record.input else None,
            "output": await self._history.output(record),
        }

    async def full(self, project_id: int, run_id: UUID) -> dict[str, Any]:
        """With each step, where the time went, and what it cost."""
        record = await self._runs.get(project_id, run_id)
        events = await self._history.events(project_id, run_id)
        plan = await self._history.plan(record)
        folded = timeline(plan, events)
        return {**await self.of(record), **_shown(folded, events)}

    async def explain(self, project_id: int, run_id: UUID, step_key: str) -> list[str]:
        record = await self._runs.get(project_id, run_id)
        events = await self._history.events(project_id, run_id)
        return explain(await self._history.plan(record), events, step_key)


def listed(record: RunRecord) -> dict[str, Any]:
    """A run in a list: no payloads."""
    error = decode_value(record.error) if record.error else None
    return {
        "run": str(record.run_id),
        "flow": record.flow_name,
        "version": record.flow_version,
        "status": record.status.name.lower(),
        "pool": record.queue,
        "error": error,
        "created_at": record.created_at,
        "finished_at": record.finished_at,
        "deadline_at": record.deadline_at,
        "takeovers": record.takeovers,
        "events": record.seq,
        "cancel_requested": record.cancel_requested,
        "forked_from": str(record.forked_from) if record.forked_from else None,
        "batch": str(record.batch_id) if record.batch_id else None,
        "labels": record.labels,
        "key": str(record.key_id) if record.key_id else None,
    }


def _shown(folded: Timeline, events: list[Event]) -> dict[str, Any]:
    outputs = {
        event.step_key: event.body
        for event in events
        if isinstance(event.body, StepSucceeded) and event.step_key is not None
    }
    return {
        "steps": [_step(span, outputs.get(span.key)) for span in folded.spans],
        "usage": _usage(folded.usage),
        "wall_seconds": folded.wall,
        "busy_seconds": folded.busy,
        "parallelism": round(folded.parallelism, 3),
        "critical_path": folded.critical_path,
    }


def _step(span: StepSpan, result: StepSucceeded | None) -> dict[str, Any]:
    output = result.output if result is not None else None
    large = result is not None and (result.blob is not None or len(str(output)) > INLINE)
    return {
        "step": span.key,
        "status": span.status,
        "started_at": span.started_at,
        "seconds": span.seconds,
        "attempts": span.attempts,
        "via": span.via or None,
        "reason": span.reason,
        "waits_for": as_data(span.wait) if span.wait is not None else None,
        "usage": _usage(span.usage),
        "output": None if large else output,
        "output_large": large,
        "composite": span.inner,
    }


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    return msgspec.to_builtins(usage) if usage is not None and usage.calls else None


def event_outline(event: Any, at: float) -> dict[str, Any]:
    """What happened and when, for those who may call a flow; what steps give is for those who may read runs."""
    shown: dict[str, Any] = {"type": event.body.kind.wire_name, "seq": event.seq, "at": at}
    if event.step_key is not None:
        shown |= {"step": event.step_key, "attempt": event.attempt}
    for name in ("seconds", "usage", "failure", "reason", "what"):
        value = getattr(event.body, name, None)
        if value not in (None, ""):
            shown[name] = msgspec.to_builtins(value)
    return shown


def event_shown(event: Any, at: float | None = None) -> dict[str, Any]:
    """One event of a journal as JSON; large values by reference."""
    return {
        "seq": event.seq,
        "type": event.body.kind.wire_name,
        "step": event.step_key,
        "attempt": event.attempt,
        "at": at,
        **facts_of(event.body),
    }

"""`emit` to a topic: a sink. The step is done when the broker has the record."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from interplay.core.failures import StepFailure
from interplay.core.flows.topics import topic_problem
from interplay.ports.topic_writer import TopicRecord, TopicWriter
from interplay.use_cases.step_call import StepCall, StepResult

_OURS: Final = frozenset({"content-type", "idempotency-key", "interplay-run", "interplay-step", "traceparent"})


async def emit_to_topic(writer: TopicWriter, call: StepCall) -> StepResult:
    """Writes `value` as JSON under `key`. What a consumer drops doubles by is in the headers: at least once, like
    every effect. Raises StepFailure."""
    topic = call.args.get("topic")
    problem = topic_problem(topic)
    if problem is not None:
        raise StepFailure("bad_request", f"{problem}.", where=call.step_key)
    key = call.args.get("key")
    value = json.dumps(call.args.get("value"), ensure_ascii=False, separators=(",", ":")).encode()
    record = TopicRecord(str(topic), value, None if key is None else _text(key).encode(), _headers(call))
    place = await writer.write(record)
    shown = {"topic": place.topic, "partition": place.partition, "offset": place.offset}
    return StepResult(shown, None, shown)


def _headers(call: StepCall) -> tuple[tuple[str, bytes], ...]:
    assert call.run_id is not None, "sinks are steps of flows"
    given = call.args.get("headers") or {}
    if not isinstance(given, dict) or not all(isinstance(value, str | int | float | bool) for value in given.values()):
        raise StepFailure("bad_request", "`headers` takes an object of texts and numbers.", where=call.step_key)
    theirs = [(str(name), _text(value).encode()) for name, value in given.items() if str(name).lower() not in _OURS]
    span = hashlib.sha256(f"{call.step_key}:{call.attempt}".encode()).hexdigest()[:16]
    ours = {
        "content-type": "application/json",
        "idempotency-key": call.idempotency_key,
        "interplay-run": str(call.run_id),
        "interplay-step": call.step_key,
        "traceparent": f"00-{call.run_id.hex}-{span}-01",  # W3C Trace Context: the run is the trace
    }
    return (*((name, value.encode()) for name, value in ours.items()), *theirs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

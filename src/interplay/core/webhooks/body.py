"""What a webhook says: `{type, timestamp, data}`, as the Standard Webhooks specification has it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interplay.core.runs.events import EventKind
from interplay.core.runs.log import LoggedEvent
from interplay.core.runs.status import RunStatus

TEST: Final = "webhook.test"
MOST: Final = 64 * 1024  # bytes of one value as JSON; what is larger is left out, and named
_STATUS: Final = {
    EventKind.RUN_STARTED: RunStatus.RUNNING,
    EventKind.RUN_REDRIVEN: RunStatus.QUEUED,
    EventKind.RUN_DIED: RunStatus.DEAD,
    EventKind.RUN_SUCCEEDED: RunStatus.SUCCEEDED,
    EventKind.RUN_FAILED: RunStatus.FAILED,
    EventKind.RUN_CANCELLED: RunStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run that ended came to. `left_out`: which of these there are and are not here."""

    output: Any = None
    error: Any = None
    labels: dict[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def ends(kind: EventKind) -> bool:
    """Whether nothing follows unless a person sees to it: the event tells what the run came to."""
    return kind.terminal or kind is EventKind.RUN_DIED


def body_of(event: LoggedEvent, outcome: Outcome | None) -> bytes:
    data: dict[str, Any] = {
        "run": str(event.run_id),
        "seq": event.seq,
        "flow": event.flow,
        "version": event.version,
        "project": event.project_id,
    }
    left_out = list(event.left_out)
    if event.kind in _STATUS:
        data["status"] = _STATUS[event.kind].name.lower()
    if event.step is not None:
        data |= {"step": event.step, "attempt": event.attempt}
    if outcome is not None:
        data["labels"] = outcome.labels
        left_out += outcome.left_out
        values = {"output": outcome.output} if event.kind is EventKind.RUN_SUCCEEDED else {"error": outcome.error}
        for name, value in values.items():
            _add(data, name, value, left_out)
    _add(data, "facts", event.facts, left_out)
    if left_out:
        data["left_out"] = sorted(set(left_out))
    return _encoded(event.kind.wire_name, event.at, data)


def trial_body(webhook: str, project: int, at: float) -> bytes:
    """What `webhooks test` sends."""
    return _encoded(TEST, at, {"webhook": webhook, "project": project})


def _add(data: dict[str, Any], name: str, value: Any, left_out: list[str]) -> None:
    if name in left_out or len(msgspec.json.encode(value)) > MOST:
        left_out.append(name)
    else:
        data[name] = value


def _encoded(kind: str, at: float, data: dict[str, Any]) -> bytes:
    moment = datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode({"type": kind, "timestamp": moment.replace("+00:00", "Z"), "data": data})

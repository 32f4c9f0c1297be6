"""The event log: what happened to runs, told to whoever listens, after it is durable.

    a commit ──▶ its owner publishes ──▶ the log (a topic; without a broker the ledger itself) ──▶ recorders

Each event is published at least once, those of a run in order. `(run_id, seq)` is the same each time, so that a
listener can leave out what it has had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec

from interplay.core.runs.events import Body, EventKind, decode_body, decode_value

MOST_FACTS: Final = 64 * 1024  # bytes of msgpack of one event; a broker takes a million by default
_LARGE: Final[tuple[str, ...]] = ("output", "value", "detail")
_KEPT_APART: Final = {  # which value of an event its `blob` is
    EventKind.STEP_SUCCEEDED: "output",
    EventKind.STEP_PROGRESSED: "value",
    EventKind.STEP_WAITING: "detail",
}


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """Whose events they are."""

    run_id: UUID
    project_id: int
    flow: str
    version: str


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event of a run, as listeners have it.

    `at`: when it was committed, seconds since the epoch, by the ledger's clock where it is read from there, else by
    the worker's. `facts`: what it says, as plain JSON values; large ones are left out, and named in `left_out`.
    """

    run_id: UUID
    seq: int
    kind: EventKind
    at: float
    project_id: int
    flow: str
    version: str
    step: str | None
    attempt: int
    facts: dict[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """The same however often it is published."""
        return f"{self.run_id}:{self.seq}"


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """A row of the journal on its way to the log. `output`: of the run, as it is stored, with the event that it
    succeeded."""

    seq: int
    kind: int
    step_key: str | None
    attempt: int
    body: bytes
    at: float
    output: bytes | None = None


def logged_event(run: LoggedRun, row: LoggedRow) -> LoggedEvent:
    """Raises KeyError for a kind of a newer release and msgspec.DecodeError for broken bytes."""
    facts = facts_of(decode_body(row.kind, row.body))
    left_out: tuple[str, ...] = ()
    if facts.pop("blob", None) is not None:
        left_out = (_KEPT_APART[EventKind(row.kind)],)
    if len(row.body) > MOST_FACTS:
        large = [name for name in _LARGE if name in facts] or list(facts)
        for name in large:
            del facts[name]
        left_out = (*left_out, *large)
    if row.output is not None:
        output = decode_value(row.output)
        if len(row.output) > MOST_FACTS or (isinstance(output, dict) and set(output) == {"$blob"}):
            left_out = (*left_out, "output")
        else:
            facts["output"] = output
    return LoggedEvent(
        run.run_id,
        row.seq,
        EventKind(row.kind),
        row.at,
        run.project_id,
        run.flow,
        run.version,
        row.step_key,
        row.attempt,
        facts,
        left_out,
    )


def facts_of(body: Body) -> dict[str, Any]:
    """What an event says, as plain JSON values; what holds nothing is left out."""
    return {
        name: value if name in _LARGE else msgspec.to_builtins(value)
        for name in body.__struct_fields__
        if (value := getattr(body, name)) not in (None, "")
    }

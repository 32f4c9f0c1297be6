"""The event log: what happened to runs, told to whoever listens, after it is durable.

    a commit ──▶ its owner tells ──▶ the log (a topic; without a broker the ledger itself) ──▶ recorders

Each event is told at least once, those of a run in order. `(run_id, seq)` is the same each time, so that a listener
can leave out what it has had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from interplay.core.runs.events import EventKind


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
        """The same however often it is told."""
        return f"{self.run_id}:{self.seq}"

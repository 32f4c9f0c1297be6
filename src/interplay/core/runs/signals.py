"""What somebody told a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

MOST_SIGNALS: Final = 10_000  # that a run takes in its life; each look at a run reads all of them
DECISIONS: Final = "approval:"  # what the names of decisions begin with; nobody else's signal may


def too_many() -> str:
    return f"The run has {MOST_SIGNALS:,} signals, and takes no more."


@dataclass(frozen=True, slots=True)
class Signal:
    """`body` is msgpack of the payload, `at` seconds since the epoch. May come before its wait."""

    signal_id: UUID
    name: str
    body: bytes
    at: float

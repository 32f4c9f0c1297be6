"""What somebody told a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

MOST_SIGNALS: Final = 10_000  # that a run takes in its life; each look at a run reads all of them
DECISIONS: Final = "approval:"  # what the names of decisions begin with; nobody else's signal may


ENOUGH: Final = (
    "Start a run for what is still to come; those that it has stay, and decisions of people are still taken."
)


def too_many() -> str:
    return f"The run has {MOST_SIGNALS:,} signals, the most of its life, and takes no more: this one was not kept."


@dataclass(frozen=True, slots=True)
class Signal:
    """`body` is msgpack of the payload, `at` seconds since the epoch. May come before its wait."""

    signal_id: UUID
    name: str
    body: bytes
    at: float

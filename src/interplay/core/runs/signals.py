"""What somebody told a run."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Signal:
    """`body` is msgpack of the payload, `at` seconds since the epoch. May come before its wait."""

    signal_id: UUID
    name: str
    body: bytes
    at: float

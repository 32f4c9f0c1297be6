"""What the harness asks of a system that is measured: be installed, start, do a round of work, stop."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.peers.database import DatabaseServer


class NotHad(Exception):
    """A system that cannot be installed, started or measured here; the sentence says why."""


@dataclass(frozen=True)
class Place:
    """Where a system lives while it is measured. `folder` is its own and is removed at the end."""

    folder: Path
    databases: DatabaseServer


@dataclass(frozen=True)
class Work:
    """`at_once` callers, each sending one job after the other for `seconds`."""

    seconds: float
    at_once: int


@dataclass(frozen=True)
class Measured:
    """`rate`: finished jobs per second. `latencies`: milliseconds of each job, as its caller saw it."""

    rate: float
    latencies: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.latencies)


class Peer(Protocol):
    """A system that is measured. `versions` are those of `pins.py` that it pins."""

    name: str
    versions: Mapping[str, str]

    def install(self) -> None:
        """Into a folder of its own; at once when it is there already. Raises `NotHad`."""

    async def start(self, place: Place) -> None:
        """Ready and warm when it returns. Raises `NotHad`."""

    async def round(self, work: Work) -> Measured:
        """Does the work, and checks each answer. Raises `NotHad`."""

    async def stop(self) -> None:
        """Ends every process it started; also after a failed start."""

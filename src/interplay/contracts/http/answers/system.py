"""Answers about the system as a whole."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class Worker(TypedDict):
    """A worker that is alive."""

    worker_id: str
    pool: str
    capacity: NotRequired[int]
    """Runs at once."""
    lease_left: NotRequired[float]
    """Seconds."""
    started_at: NotRequired[float]
    """Seconds since the epoch."""
    runs: NotRequired[int]
    """How many it has now."""


class System(TypedDict):
    """How it stands, for operators."""

    runs: dict[str, int]
    """How many have each status."""
    oldest_queued_seconds: float | None
    """How long the oldest run has waited for a worker."""
    workers: list[Worker]
    tables: dict[str, int]
    """Bytes of each table of the database."""

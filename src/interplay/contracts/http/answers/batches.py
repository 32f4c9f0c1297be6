"""Answers about batches."""

from __future__ import annotations

from typing_extensions import TypedDict


class BatchEntry(TypedDict):
    """A row of a batch and its run."""

    key: str
    run: str
    new: bool
    """False: it was there already."""


class BatchStarted(TypedDict):
    """The runs of a batch's rows, in the order in which they were sent."""

    batch: str
    """Its id, a UUID."""
    rows: list[BatchEntry]


class Batch(TypedDict):
    """How the runs of a batch stand."""

    batch: str
    total: int
    by_status: dict[str, int]
    """How many runs have each status; without those that none has."""


class BatchSummary(Batch):
    """A batch in a list."""

    flow: str
    created_at: float
    """When its first run was made, in seconds since the epoch."""


class BatchPage(TypedDict):
    """Batches, newest first."""

    items: list[BatchSummary]
    next: str | None
    """The `cursor` of the following page; None on the last."""

"""The ledger's side of the event log: which events were published, and which are still to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from interplay.core.runs.log import LoggedEvent, LoggedRun


@dataclass(frozen=True, slots=True)
class UnpublishedRun:
    """A run that nobody executes, with events after `published` up to `seq` that nobody says are published."""

    run: LoggedRun
    published: int
    seq: int


class LogStore(Protocol):
    async def unpublished(self, most: int) -> list[UnpublishedRun]:
        """Runs that have ended or wait, longest first. What its owner publishes right now is among them."""
        ...

    async def events(self, runs: Mapping[UUID, int], most: int) -> list[LoggedEvent]:
        """Of each of these runs what is durable after so many events, in order, at most `most` of each."""
        ...

    async def mark(self, published: Mapping[UUID, int]) -> frozenset[UUID]:
        """So many events of each of these runs are published; a mark that is behind changes nothing. The runs whose
        marks are new."""
        ...

"""Sinks: records written to topics of a broker, done when it has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """One record. Records of one `key` stay in the order in which they were written; `value` None is a tombstone."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class TopicPlace:
    """Where the broker keeps a record. The offset counts from 0 in each partition."""

    topic: str
    partition: int
    offset: int


class TopicWriter(Protocol):
    async def write(self, record: TopicRecord) -> TopicPlace:
        """Returns when all replicas that are in step have the record.

        At least once: a caller that was cancelled or told `unavailable` may find it there all the same, so its
        headers should say what it is. StepFailure: `not_found` (no such topic), `unauthorized`, `bad_request` (too
        large, or nothing that the topic takes), `unavailable` (the broker does not answer in time).
        """
        ...

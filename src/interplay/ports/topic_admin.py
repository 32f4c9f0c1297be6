"""What topics there are, and making new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from interplay.core.topics_of_ours import TopicShape


class TopicAdmin(Protocol):
    """All raise Unavailable (the broker does not answer), InvalidInput (no right to)."""

    async def brokers(self) -> int:
        """How many there are, and so how many copies a topic may have."""
        ...

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicShape]:
        """Those of them that are there."""
        ...

    async def make(self, topics: Sequence[TopicShape]) -> Sequence[str]:
        """The names of those that were made; one that is there by now is not touched."""
        ...

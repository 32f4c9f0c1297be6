"""Messages of a topic, read by a group whose members share its partitions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from interplay.core.triggers.messages import Message


@dataclass(frozen=True, slots=True)
class StartAt:
    """Where a group begins in partitions that it has committed nothing of: `earliest`, `latest`, the first message of
    or after a time (seconds since the epoch), or an offset."""

    where: str = "latest"
    time: float | None = None
    offset: int | None = None


class TopicMember:
    """One member of a group. What is read and not committed is read again, by it or another one."""

    async def batch(self, most: int, within: float) -> list[Message]:
        """What has come, at most so many, after at most so many seconds; of each partition in its order.

        Raises NotFound (no such topic), InvalidInput (no right to read it), Unavailable (the broker is away).
        """
        raise NotImplementedError

    async def commit(self, messages: list[Message]) -> None:
        """These and all before them need not be read again. Raises Unavailable; a partition that another member has
        by now stays as that one has it."""
        raise NotImplementedError

    async def stay(self, seconds: float) -> None:
        """Takes nothing for so long, and remains a member. Raises as `batch`."""
        raise NotImplementedError


class TopicReader(Protocol):
    def join(self, group: str, topic: str, start: StartAt) -> AbstractAsyncContextManager[TopicMember]:
        """A member of the group, until the context ends."""
        ...

    async def lag(self, group: str, topic: str) -> Mapping[int, int | None]:
        """Messages of each partition that the group has not committed; None where it has committed nothing.

        Raises as `TopicMember.batch`.
        """
        ...

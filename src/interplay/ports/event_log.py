"""Where events of runs are published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from interplay.core.runs.log import LoggedEvent


class EventLog(Protocol):
    async def publish(self, events: Sequence[LoggedEvent]) -> None:
        """Returns when all of them are kept. Events of one run stay in the order in which they were published, also
        where a call fails in the middle: then the events after the first that is not kept are not kept either.

        Raises Unavailable (it is away), NotFound or InvalidInput (nothing can be published as it is set up).
        """
        ...

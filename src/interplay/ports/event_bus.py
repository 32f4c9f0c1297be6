"""Hints between processes: something may have changed, and what a model is saying right now.

Never the truth. A lost, doubled, late or reordered message costs time and nothing else, because
every listener also looks at the ledger now and then. Topics: `queue.<queue>` (a run may be
claimable), `run.<run id>` (its journal has grown, or a token delta), `worker.<worker id>` (a signal
or cancel for a run that it holds), `schedule.changed`, `config.changed` (a key, model, connection, budget
or price changed).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

Message = dict[str, Any]


class EventBus(Protocol):
    def publish(self, topic: str, message: Message) -> None:
        """Never waits and never fails the caller; what cannot be sent is dropped and counted."""
        ...

    def subscribe(self, *topics: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, Message]]]:
        """Messages of these topics from now on. A topic ending in `*` matches by its beginning.

        A listener that falls behind loses the oldest messages, never memory.
        """
        ...

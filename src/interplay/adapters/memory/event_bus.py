"""The in-process bus: what one process needs, and what `interplay up` runs on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from interplay.core.runs.topics import Subscriptions
from interplay.ports.event_bus import Message


class MemoryEventBus:
    def __init__(self) -> None:
        self._subscriptions = Subscriptions()

    def publish(self, topic: str, message: Message) -> None:
        self._subscriptions.deliver(topic, message)

    def subscribe(self, *topics: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, Message]]]:
        return self._subscriptions.subscribe(*topics)

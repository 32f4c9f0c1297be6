"""Who listens to what: the in-process half of every event bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

Message = dict[str, Any]
MOST_WAITING: Final = 2_000  # messages that one listener may be behind


class _Listener:
    """One subscription: bounded, the oldest messages go first."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, Message]] = deque(maxlen=MOST_WAITING)
        self._arrived = asyncio.Event()

    def put(self, topic: str, message: Message) -> None:
        self._messages.append((topic, message))
        self._arrived.set()

    def __aiter__(self) -> _Listener:
        return self

    async def __anext__(self) -> tuple[str, Message]:
        """Not a generator: whoever stops waiting for a message may wait again."""
        while not self._messages:
            self._arrived.clear()
            await self._arrived.wait()
        return self._messages.popleft()


class Subscriptions:
    """Listeners by topic, and by the beginning of topics for those that end in `*`."""

    def __init__(self) -> None:
        self._exact: dict[str, list[_Listener]] = {}
        self._prefixes: dict[str, list[_Listener]] = {}

    def deliver(self, topic: str, message: Message) -> None:
        for listener in self._exact.get(topic, ()):
            listener.put(topic, message)
        for prefix, listeners in self._prefixes.items():
            if topic.startswith(prefix):
                for listener in listeners:
                    listener.put(topic, message)

    def wanted(self, topic: str) -> bool:
        """Whether anybody would get a message of this topic."""
        return topic in self._exact or any(topic.startswith(prefix) for prefix in self._prefixes)

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[tuple[str, Message]]]:
        listener = _Listener()
        places = [(self._prefixes, topic[:-1]) if topic.endswith("*") else (self._exact, topic) for topic in topics]
        for registry, name in places:
            registry.setdefault(name, []).append(listener)
        try:
            yield listener
        finally:
            for registry, name in places:
                registry[name].remove(listener)
                if not registry[name]:
                    del registry[name]

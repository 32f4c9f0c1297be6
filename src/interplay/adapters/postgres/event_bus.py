"""Hints between processes by LISTEN and NOTIFY: coalesced, on a connection of their own, never in a commit.

The first word of a topic is its channel, and a process hears only the channels that it subscribed to:
a worker is not told of every commit of the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from interplay.adapters.postgres.connection import GONE, Database
from interplay.core.errors import Unavailable
from interplay.core.runs.topics import Subscriptions
from interplay.ports.event_bus import Message

_COALESCE: Final = 0.002  # seconds
_MANY: Final = 16  # hints in that time: who has more waits longer, since a notification costs a transaction
_COALESCE_MANY: Final = 0.01  # seconds
_MOST_BYTES: Final = 7900  # NOTIFY takes 8000
_ENCODER: Final = msgspec.json.Encoder()
_MOST_QUEUED: Final = 10_000
_PAUSE: Final = 0.5  # seconds between two tries to connect


class PostgresEventBus:
    """`start` connects in the background; what is published meanwhile waits, the oldest are dropped."""

    def __init__(self, database: Database, subscriptions: Subscriptions | None = None) -> None:
        """`subscriptions`: who listens; others may deliver to them, too."""
        self._database = database
        self._subscriptions = subscriptions or Subscriptions()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._channels: set[str] = set()
        self._listening: Any = None
        self._lock = asyncio.Lock()  # one user of the listening connection at a time
        self.dropped = 0

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._listen())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, topic: str, message: Message) -> None:
        text = _ENCODER.encode((topic, message))
        if len(text) > _MOST_BYTES - 2:
            text = _ENCODER.encode((topic, {"type": message.get("type", "hint")}))
        if len(self._queue) >= _MOST_QUEUED:
            self.dropped += 1
            self._queue.popleft()
        self._queue.append((_channel(topic), text))
        self._wanted.set()

    @contextlib.asynccontextmanager
    async def subscribe(self, *topics: str) -> AsyncIterator[AsyncIterator[tuple[str, Message]]]:
        async with self._subscriptions.subscribe(*topics) as messages:
            await self._hear({_channel(topic) for topic in topics} - self._channels)
            yield messages

    async def _hear(self, channels: set[str]) -> None:
        """Listens to these as well; without a connection that is done with the next one."""
        self._channels |= channels
        async with self._lock:
            for channel in channels:
                if self._listening is not None:
                    with contextlib.suppress(*GONE):
                        await self._listening.add_listener(channel, self._received)

    async def _send(self) -> None:
        connection: Any = None
        while True:
            await self._wanted.wait()
            await asyncio.sleep(_COALESCE)
            if len(self._queue) > _MANY:
                await asyncio.sleep(_COALESCE_MANY - _COALESCE)
            self._wanted.clear()
            payloads = self._packed()
            try:
                if connection is None or connection.is_closed():
                    connection = await self._database.dedicated(
                        application_name="interplay-notify", synchronous_commit="off"
                    )
                await connection.executemany("select pg_notify($1, $2)", payloads)
            except (*GONE, Unavailable):
                self.dropped += len(payloads)
                connection = None
                await asyncio.sleep(_PAUSE)

    def _packed(self) -> list[tuple[str, str]]:
        """What is queued as few notifications as it fits into, each with its channel."""
        by_channel: dict[str, list[list[bytes]]] = {}
        sizes: dict[str, int] = {}
        for channel, text in self._queue:
            packs = by_channel.setdefault(channel, [])
            if not packs or sizes[channel] + len(text) + 1 > _MOST_BYTES:
                packs.append([])
                sizes[channel] = 2
            packs[-1].append(text)
            sizes[channel] += len(text) + 1
        self._queue.clear()
        return [(channel, f"[{b','.join(pack).decode()}]") for channel, packs in by_channel.items() for pack in packs]

    async def _listen(self) -> None:
        while True:
            connection: Any = None
            try:
                connection = await self._database.dedicated(application_name="interplay-listen")
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                async with self._lock:
                    for channel in list(self._channels):
                        await connection.add_listener(channel, self._received)
                    self._listening = connection
                await lost.wait()
            except (*GONE, Unavailable):
                await asyncio.sleep(_PAUSE)
            finally:
                self._listening = None
                if connection is not None:
                    with contextlib.suppress(*GONE):
                        connection.terminate()

    def _received(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        for topic, message in msgspec.json.decode(payload):
            self._subscriptions.deliver(topic, message)


def _channel(topic: str) -> str:
    return f"interplay_{topic.partition('.')[0].rstrip('*')}"

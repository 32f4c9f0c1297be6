"""Hints between processes by LISTEN and NOTIFY: coalesced, on a connection of their own, never in a commit."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from interplay.adapters.postgres.connection import GONE, Database
from interplay.core.errors import Unavailable
from interplay.core.runs.topics import Subscriptions
from interplay.ports.event_bus import Message

_CHANNEL: Final = "interplay"
_COALESCE: Final = 0.002  # seconds
_MOST_BYTES: Final = 7900  # NOTIFY takes 8000
_MOST_QUEUED: Final = 10_000
_PAUSE: Final = 0.5  # seconds between two tries to connect


class PostgresEventBus:
    """`start` connects in the background; what is published meanwhile waits, the oldest are dropped."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._subscriptions = Subscriptions()
        self._queue: list[str] = []
        self._wanted = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.dropped = 0

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._listen())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, topic: str, message: Message) -> None:
        text = json.dumps([topic, message], separators=(",", ":"), ensure_ascii=True)
        if len(text) > _MOST_BYTES - 2:
            text = json.dumps([topic, {"type": message.get("type", "hint")}])
        if len(self._queue) >= _MOST_QUEUED:
            self.dropped += 1
            del self._queue[0]
        self._queue.append(text)
        self._wanted.set()

    def subscribe(self, *topics: str) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, Message]]]:
        return self._subscriptions.subscribe(*topics)

    async def _send(self) -> None:
        connection: Any = None
        while True:
            await self._wanted.wait()
            await asyncio.sleep(_COALESCE)
            self._wanted.clear()
            payloads = self._packed()
            try:
                if connection is None or connection.is_closed():
                    connection = await self._database.dedicated(application_name="interplay-notify")
                await connection.executemany("select pg_notify($1, $2)", [(_CHANNEL, text) for text in payloads])
            except (*GONE, Unavailable):
                self.dropped += len(payloads)
                connection = None
                await asyncio.sleep(_PAUSE)

    def _packed(self) -> list[str]:
        payloads: list[str] = []
        current: list[str] = []
        size = 2
        for text in self._queue:
            if size + len(text) + 1 > _MOST_BYTES:
                payloads.append(f"[{','.join(current)}]")
                current, size = [], 2
            current.append(text)
            size += len(text) + 1
        self._queue.clear()
        return [*payloads, f"[{','.join(current)}]"] if current else payloads

    async def _listen(self) -> None:
        while True:
            connection: Any = None
            try:
                connection = await self._database.dedicated(application_name="interplay-listen")
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                await connection.add_listener(_CHANNEL, self._received)
                await lost.wait()
            except (*GONE, Unavailable):
                await asyncio.sleep(_PAUSE)
            finally:
                if connection is not None:
                    with contextlib.suppress(*GONE):
                        connection.terminate()

    def _received(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        for topic, message in json.loads(payload):
            self._subscriptions.deliver(topic, message)

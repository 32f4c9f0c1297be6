"""A receiver of webhooks: it believes what the reference implementation of Standard Webhooks believes, and fails as it
is told to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Play:
    """What it does with a message: answers, is silent, or cuts the connection."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    does: str = "answer"  # or "hang" or "cut"


@dataclass(frozen=True)
class Got:
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.raw)

    def believed(self, secret: str) -> bool:
        try:
            Webhook(secret).verify(self.raw, self.headers)
        except WebhookVerificationError:
            return False
        return True


class Receiver:
    """`plays`: by path, one after the other; the last one goes on. Without any it takes everything."""

    def __init__(self) -> None:
        self.plays: dict[str, list[Play]] = {}
        self.got: list[Got] = []
        self.now: dict[str, int] = defaultdict(int)  # under way, by path
        self.most: dict[str, int] = defaultdict(int)
        self.url = ""
        self.open: set[asyncio.StreamWriter] = set()
        self._more = asyncio.Event()

    def at(self, path: str) -> list[Got]:
        return [one for one in self.got if one.path == path]

    async def until(self, wanted: Callable[[list[Got]], object], within: float = 30.0) -> list[Got]:
        """What it got, once that is as wanted."""
        async with asyncio.timeout(within):
            while not wanted(self.got):
                self._more.clear()
                await self._more.wait()
        return self.got

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._one(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def _one(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path = first.split(" ")[1]
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        plays = self.plays.get(path, [])
        play = Play() if not plays else plays[0] if len(plays) == 1 else plays.pop(0)
        self.now[path] += 1
        self.most[path] = max(self.most[path], self.now[path])
        try:
            self.got.append(Got(path, headers, raw))
            self._more.set()
            if play.does == "hang":
                await reader.read()  # until the other side gives up
            if play.does != "answer":
                raise ConnectionResetError
            told = "".join(f"{name}: {value}\r\n" for name, value in play.headers.items())
            answer = f"HTTP/1.1 {play.status} x\r\ncontent-length: {len(play.body)}\r\n{told}\r\n".encode()
            writer.write(answer + play.body)
            await writer.drain()
        finally:
            self.now[path] -= 1


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        server.close()
        for writer in list(receiver.open):
            writer.close()
        await server.wait_closed()

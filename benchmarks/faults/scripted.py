"""A server for each script, so that no connection is shared between two; it sees when it is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

_CALL = re.compile(rb"^POST \S*/chat/completions ")


@dataclass
class Asked:
    """One request that came in. `left` is set when its caller closes the connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0

    @property
    def stream(self) -> bool:
        return bool(json.loads(self.body).get("stream"))

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            self.sent += len(part)
            await self.writer.drain()

    async def until_left(self) -> None:
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                continue
        self.left.set()


@dataclass
class Script:
    """What stands behind the address `url`. `asked`: its requests, as they come."""

    play: Callable[[Asked], Awaitable[None]]
    url: str = ""
    calls: int = 0
    asked: asyncio.Queue[Asked] = field(default_factory=asyncio.Queue)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _body(reader, head.lower())
                if not _CALL.match(head):  # some ask first what there is: no question, and not counted as one
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
                asked = Asked(reader, writer, body)
                self.calls += 1
                self.asked.put_nowait(asked)
                await self.play(asked)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return await reader.readexactly(int(line[15:]))
    body = b""
    while b"transfer-encoding: chunked" in head:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        piece = (await reader.readexactly(size + 2))[:-2]
        if not size:
            break
        body += piece
    return body


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[Script]:
    """The script at an address of its own."""
    server = await asyncio.start_server(script.accept, "127.0.0.1", 0, backlog=2048, limit=1 << 20)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield script
    finally:
        server.close()

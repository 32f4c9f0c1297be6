"""A model server played over a bare socket, in the loop of the test: it sees when it is left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER = b'{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7}}'
LAST = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def whole(body: bytes = ANSWER) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@dataclass
class Asked:
    """One request that came in. `left` is set when its caller closes the connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes = b""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0

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
class RawUpstream:
    url: str = ""
    asked: asyncio.Queue[Asked] = field(default_factory=asyncio.Queue)
    calls: int = 0


@asynccontextmanager
async def raw_upstream(play: Callable[[Asked], Awaitable[None]]) -> AsyncIterator[RawUpstream]:
    """`play` answers each request, one after the other on a connection."""
    made = RawUpstream()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
                asked = Asked(reader, writer, await reader.readexactly(length))
                made.calls += 1
                made.asked.put_nowait(asked)
                await play(asked)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=2048)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield made
    finally:
        server.close()

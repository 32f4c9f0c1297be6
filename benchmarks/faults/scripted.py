"""One server for all scenarios: the path of a request says whose script it plays, and it sees when it is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

_PATH = re.compile(rb"^POST (/[^/ ]+)/v1/")


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
    """What stands behind one base URL. `asked`: its requests, as they come."""

    play: Callable[[Asked], Awaitable[None]]
    calls: int = 0
    asked: asyncio.Queue[Asked] = field(default_factory=asyncio.Queue)


class ScriptedUpstream:
    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.address = ""

    def url(self, place: str) -> str:
        return f"http://{self.address}/{place}/v1"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await _body(reader, head.lower())
                found = _PATH.match(head)
                script = self.scripts[found[1].decode()[1:]] if found else None
                if script is None:
                    return
                asked = Asked(reader, writer, body)
                script.calls += 1
                script.asked.put_nowait(asked)
                await script.play(asked)
        except (asyncio.IncompleteReadError, ConnectionError, KeyError):
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
async def scripted_upstream() -> AsyncIterator[ScriptedUpstream]:
    made = ScriptedUpstream()
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0, backlog=2048, limit=1 << 20)
    made.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()

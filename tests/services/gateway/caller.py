"""A caller over a bare socket: it may leave, read slowly, or send what no library would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Caller:
    """A bare connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self.reader = reader
        self.writer = writer
        self._token = token

    def request(self, headers: bytes = b"", version: bytes = b"1.1", **fields: Any) -> bytes:
        body = json.dumps({"model": "raw", "messages": [{"role": "user", "content": "x" * 40}], **fields}).encode()
        head = b"POST /v1/chat/completions HTTP/%s\r\nhost: 127.0.0.1\r\nauthorization: Bearer %s\r\n"
        return (head + b"%scontent-length: %d\r\n\r\n%s") % (version, self._token.encode(), headers, len(body), body)

    async def send(self, headers: bytes = b"", **fields: Any) -> None:
        self.writer.write(self.request(headers, **fields))
        await self.writer.drain()

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of an answer with a length."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        return head, await self.reader.readexactly(length)

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def calling_at(url: str, token: str) -> AsyncIterator[Caller]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Caller(reader, writer, token)
    finally:
        writer.close()

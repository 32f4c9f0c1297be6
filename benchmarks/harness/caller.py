"""A caller that costs little: one connection, one request after the other, so that we measure the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head
        self._answered = ""

    @classmethod
    async def connected(cls, url: str, key: str, headers: Mapping[str, str] | None = None) -> Caller:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        named = {"Host": parts.netloc, "Authorization": f"Bearer {key}", **(headers or {})}
        return cls(reader, writer, "".join(f"{name}: {value}\r\n" for name, value in named.items()))

    async def post(self, path: str, body: Any) -> Any:
        raw = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(raw)}\r\n\r\n"
        self._writer.write(head.encode() + raw)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        self._answered = answer.decode("latin-1")
        lower = answer.lower()
        place = lower.index(b"content-length:") + 15
        length = int(lower[place : lower.index(b"\r\n", place)])
        content = await self._reader.readexactly(length)
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            raise AssertionError(f"{answer!r} {content!r}")
        return json.loads(content)

    def header(self, name: str) -> str:
        """Of the last answer; empty where it is not there."""
        for line in self._answered.split("\r\n"):
            if line.lower().startswith(f"{name}:"):
                return line.partition(":")[2].strip()
        return ""

    def close(self) -> None:
        self._writer.close()

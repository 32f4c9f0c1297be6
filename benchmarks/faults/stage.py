"""A system under test, the upstream behind it, and ways to call it: politely, barely, or not to the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.faults.scripted import Script
from benchmarks.faults.told import Told
from benchmarks.harness.loading import Aim
from benchmarks.peers.gateway_peer import GatewayPeer

QUESTION = [{"role": "user", "content": "Count to five."}]
WITHIN = 10.0  # seconds: ten times what any set patience is


class Wrong(Exception):
    """What a system did that the rule does not allow, in a few words."""


def expect(good: bool, seen: object) -> None:
    if not good:
        raise Wrong(str(seen))


@dataclass(frozen=True)
class Stage:
    """One scenario at one system: its alias, and the scripts of its targets in their order."""

    system: GatewayPeer
    alias: str
    scripts: Sequence[Script | None]

    @property
    def aim(self) -> Aim:
        return self.system.aim(self.alias)

    @property
    def calls(self) -> tuple[int, ...]:
        return tuple(script.calls for script in self.scripts if script is not None)

    @property
    def first(self) -> Script:
        script = self.scripts[0]
        assert script is not None
        return script

    def body(self, **fields: Any) -> dict[str, Any]:
        return {"model": self.aim.model, "messages": QUESTION, **fields}

    def headers(self, key: str = "") -> dict[str, str]:
        aim = self.aim
        return {"authorization": f"Bearer {key or aim.key}", "content-type": "application/json", **aim.headers}

    async def ask(self, *, content: bytes = b"", key: str = "", within: float = WITHIN, **fields: Any) -> Told:
        aim = self.aim
        raw = content or json.dumps(self.body(**fields)).encode()
        status, headers, body = 0, dict[str, str](), b""
        try:
            async with (
                asyncio.timeout(within),
                httpx.AsyncClient(trust_env=False, timeout=within + 5) as http,
                http.stream(
                    "POST", f"http://{aim.address}{aim.path}", content=raw, headers=self.headers(key)
                ) as answer,
            ):
                status, headers = answer.status_code, dict(answer.headers)
                async for part in answer.aiter_bytes():
                    body += part
        except TimeoutError:
            return Told(status, headers, body, late=True)
        except (httpx.TransportError, httpx.DecodingError):
            return Told(status, headers, body, broken=True)
        return Told(status, headers, body)

    @contextlib.asynccontextmanager
    async def connection(self, **fields: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """The question is sent; the rest is the caller's."""
        aim = self.aim
        host, port = aim.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(aim.request({"messages": QUESTION, **fields}))
            await writer.drain()
            yield reader, writer
        finally:
            writer.close()

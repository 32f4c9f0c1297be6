"""The nouns of the API: flows, runs, batches, approvals, models, connections, system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import quote

from interplay.client.errors import Unreachable
from interplay.client.transport import Transport

Json = dict[str, Any]
_TERMINAL = frozenset({"run.succeeded", "run.failed", "run.cancelled", "run.died"})
_PATIENCE = 60.0  # seconds that `follow` tries to get a lost connection back


class Flows:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def check(self, source: str, files: Mapping[str, str] | None = None, file: str = "") -> Json:
        """`{"ok", "version", "problems"}`; nothing is kept."""
        return await self._call("POST", "/flows/check", _flow_body(source, files, file))

    async def put(self, name: str, source: str, files: Mapping[str, str] | None = None, file: str = "") -> Json:
        """Keeps a version: `{"flow", "version", "created"}`. Raises ApiError with `problems`."""
        return await self._call("PUT", f"/flows/{quote(name)}", _flow_body(source, files, file))

    async def get(self, name: str, version: str | None = None, channel: str | None = None) -> Json:
        return await self._call("GET", f"/flows/{quote(name)}", None, {"version": version, "channel": channel})

    async def list(self, limit: int = 50, cursor: str | None = None) -> Json:
        return await self._call("GET", "/flows", None, {"limit": limit, "cursor": cursor})

    async def versions(self, name: str, limit: int = 50) -> Json:
        return await self._call("GET", f"/flows/{quote(name)}/versions", None, {"limit": limit})

    async def channels(self, name: str) -> dict[str, str]:
        return await self._call("GET", f"/flows/{quote(name)}/channels")

    async def set_channel(self, name: str, channel: str, version: str) -> Json:
        return await self._call("PUT", f"/flows/{quote(name)}/channels/{quote(channel)}", {"version": version})

    async def _call(self, method: str, path: str, body: Any = None, params: Any = None) -> Json:
        found: Json = await self._transport.request(method, path, body=body, params=params)
        return found


def _flow_body(source: str, files: Mapping[str, str] | None, file: str) -> Json:
    return {"source": source, "files": dict(files or {}), "file": file}


class Runs:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        flow: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        channel: str | None = None,
        version: str | None = None,
        wait: float | None = None,
        key: str | None = None,
    ) -> Json:
        """Starts a run. `wait`: seconds to wait for the result. `key`: an idempotency key."""
        body: Json = {"flow": flow, "inputs": dict(inputs or {})}
        body |= {name: value for name, value in (("channel", channel), ("version", version)) if value is not None}
        timeout = (wait or 0.0) + 60.0
        found: Json = await self._transport.request(
            "POST", "/runs", body=body, params={"wait": wait}, key=key, timeout=timeout
        )
        return found

    async def get(self, run: str, *, full: bool = False) -> Json:
        return await self._call("GET", f"/runs/{run}", params={"view": "full" if full else None})

    async def list(self, **filters: Any) -> Json:
        """Filters: flow, version, status, batch, limit, cursor."""
        return await self._call("GET", "/runs", params=filters)

    async def events(self, run: str, after: int = 0, limit: int = 1000) -> Json:
        return await self._call("GET", f"/runs/{run}/events", params={"after": after, "limit": limit})

    async def follow(self, run: str, after: int = 0) -> AsyncIterator[Json]:
        """Events as they happen, each once and in order, through lost connections, until the run's last.

        Token deltas (`step.delta`) come between them; those of an attempt that is restarted are void.
        """
        lost_at: float | None = None
        loop = asyncio.get_running_loop()
        while True:
            try:
                async for event in self._transport.events(f"/runs/{run}/events", after):
                    lost_at = None
                    after = max(after, int(event.get("seq", 0)))
                    yield event
                    if event["type"] in _TERMINAL:
                        return
            except Unreachable:
                lost_at = lost_at if lost_at is not None else loop.time()
                if loop.time() - lost_at > _PATIENCE:
                    raise
            if (await self.get(run))["status"] in ("succeeded", "failed", "cancelled", "dead"):
                for event in (await self.events(run, after))["items"]:
                    yield event
                return
            await asyncio.sleep(0.2)

    async def explain(self, run: str, step: str) -> Json:
        return await self._call("GET", f"/runs/{run}/steps/{quote(step, safe='')}/explain")

    async def cancel(self, run: str, reason: str | None = None) -> Json:
        return await self._call("POST", f"/runs/{run}/cancel", params={"reason": reason})

    async def signal(self, run: str, name: str, payload: Any = None, *, key: str | None = None) -> Json:
        found: Json = await self._transport.request(
            "POST", f"/runs/{run}/signals/{quote(name, safe='')}", body=payload, key=key
        )
        return found

    async def redrive(self, run: str) -> Json:
        return await self._call("POST", f"/runs/{run}/redrive")

    async def fork(
        self,
        run: str,
        from_step: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        version: str | None = None,
        preview: bool = False,
    ) -> Json:
        """What was before `from_step` is kept; `preview` only says what would run again and what it cost."""
        body = {"from_step": from_step, "inputs": dict(inputs) if inputs else None, "version": version}
        return await self._call("POST", f"/runs/{run}/fork", body={**body, "preview": preview})

    async def replay(self, run: str) -> Json:
        """Again from the tape, without a call outside: `{"equal", "differences", …}`."""
        return await self._call("POST", f"/runs/{run}/replay")

    async def _call(self, method: str, path: str, body: Any = None, params: Any = None) -> Json:
        found: Json = await self._transport.request(method, path, body=body, params=params)
        return found


class Batches:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self, name: str, flow: str, rows: Sequence[Json], *, channel: str | None = None, version: str | None = None
    ) -> Json:
        """Rows are `{"key", "inputs"}`. The same name and key again finds the run it made before."""
        body = {"name": name, "flow": flow, "rows": list(rows), "channel": channel, "version": version}
        found: Json = await self._transport.request("POST", "/batches", body=body)
        return found

    async def get(self, batch: str) -> Json:
        found: Json = await self._transport.request("GET", f"/batches/{batch}")
        return found


class Approvals:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> Json:
        found: Json = await self._transport.request("GET", "/approvals")
        return found

    async def decide(self, run: str, step: str, decision: str, by: str = "operator", **more: Any) -> Json:
        """`decision`: approve or reject; `fields` and `comment` beside it."""
        body = {"decision": decision, "by": by, **more}
        found: Json = await self._transport.request("POST", f"/approvals/{run}/{quote(step, safe='')}", body=body)
        return found


class Registered:
    """Models, or connections: things that are put by name."""

    def __init__(self, transport: Transport, noun: str) -> None:
        self._transport = transport
        self._noun = noun

    async def list(self) -> Json:
        found: Json = await self._transport.request("GET", f"/{self._noun}")
        return found

    async def get(self, name: str) -> Json:
        found: Json = await self._transport.request("GET", f"/{self._noun}/{quote(name)}")
        return found

    async def put(self, name: str, body: Mapping[str, Any]) -> Json:
        found: Json = await self._transport.request("PUT", f"/{self._noun}/{quote(name)}", body=dict(body))
        return found

    async def delete(self, name: str) -> None:
        await self._transport.request("DELETE", f"/{self._noun}/{quote(name)}")


class AsyncClient:
    """`async with AsyncClient(url, key) as client: await client.runs.create(...)`."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._transport = Transport(url, key)
        self.flows = Flows(self._transport)
        self.runs = Runs(self._transport)
        self.batches = Batches(self._transport)
        self.approvals = Approvals(self._transport)
        self.models = Registered(self._transport, "models")
        self.connections = Registered(self._transport, "connections")

    async def system(self) -> Json:
        found: Json = await self._transport.request("GET", "/system")
        return found

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

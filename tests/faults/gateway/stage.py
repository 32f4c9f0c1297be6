"""Gateways as real processes, aliases over scripted upstreams, and callers who look closely at what they get."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec

from interplay.core.models.policy import Policy
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.tenancy.limits import Limits
from interplay.services.all_in_one.machine import Machine
from tests.faults.gateway.acts import Act, in_turn
from tests.faults.gateway.score import Tally
from tests.services.gateway.raw_upstream import RawUpstream, raw_upstream

CHAT = "/v1/chat/completions"
WITNESS = "witness"  # an alias whose upstream always answers
WITHIN = 30.0  # seconds: far more than anything takes here
_NUMBERS = itertools.count(1)


@dataclass
class GatewayProcess:
    """A running `interplay serve gateway`."""

    url: str
    face: str
    process: asyncio.subprocess.Process

    def resident(self) -> int:
        """Bytes of memory that it holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def serving(database_url: str, home: Path, face: str) -> AsyncIterator[GatewayProcess]:
    """Over this database; `home` is a folder."""
    settings = {
        **os.environ,
        "INTERPLAY_HOME": str(home),
        "INTERPLAY_DATABASE_URL": database_url,
        "INTERPLAY_PORT": "0",
        "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
        "INTERPLAY_GATEWAY_FACE": face,
        "INTERPLAY_DRAIN_SECONDS": "2",
    }
    log = home / "gateway.log"
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "interplay.cli", "serve", "gateway", env=settings, stdout=sink, stderr=sink
        )
    try:
        yield GatewayProcess(await _address(process, log), face, process)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(WITHIN):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
                raise


async def _address(process: asyncio.subprocess.Process, log: Path) -> str:
    async with asyncio.timeout(90):
        while not (told := _told(log)):
            assert process.returncode is None, "the gateway ended before it served"
            await asyncio.sleep(0.02)
    return told


def _told(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if "address=" in line]
    return lines[0].rpartition("address=")[2].strip() if lines else ""


class Told:
    """What a caller was told. Making one checks that it is honest: whole, or plainly an error."""

    def __init__(self, status: int, headers: httpx.Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.streamed = headers.get("content-type", "").startswith("text/event-stream")
        self.events: list[Any] = []
        if self.streamed:
            parts = [part.removeprefix("data: ") for part in body.decode().strip().split("\n\n")]
            self.events = [json.loads(part) if part.startswith("{") else part for part in parts]
        self.whole = self._whole()

    @property
    def by(self) -> str:
        return self.headers.get("x-interplay-model", "")

    @property
    def request_id(self) -> UUID:
        return UUID(self.headers["x-request-id"])

    @property
    def text(self) -> str:
        if not self.streamed:
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        choices = [event["choices"][0] for event in self.events if isinstance(event, dict) and event.get("choices")]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def error(self) -> dict[str, Any]:
        said = self.events[-1] if self.streamed else json.loads(self.body)
        found: dict[str, Any] = said["error"]
        return found

    @property
    def code(self) -> str:
        return str(self.error["code"] or self.error["type"])

    def __str__(self) -> str:
        if self.whole:
            return f"{self.status} whole"
        return f"{self.status} then error {self.code}" if self.streamed else f"{self.status} {self.code}"

    def _whole(self) -> bool:
        if self.streamed:
            assert self.status == 200
            errors = [event for event in self.events if isinstance(event, dict) and event.get("error")]
            done = self.events[-1] == "[DONE]"
            assert done != bool(errors), "a stream ends whole or with an error, and never as both or neither"
            assert done or errors == [self.events[-1]], "nothing comes after an error"
            return done
        said = json.loads(self.body)
        if self.status == 200:
            assert "error" not in said, "an error hid in a 200"
            assert said["choices"][0]["finish_reason"], "an answer without an end looked whole"
            return True
        assert self.status >= 400
        assert said["error"]["message"]
        assert "choices" not in said
        return False


class Scene:
    """One scenario: an alias over upstreams of its own, asked through one gateway."""

    def __init__(self, machine: Machine, gateway: GatewayProcess, stack: AsyncExitStack, tally: Tally) -> None:
        self.machine = machine
        self.gateway = gateway
        self.tally = tally
        self.alias = f"alias-{next(_NUMBERS):04d}"
        self.names: list[str] = []
        self._stack = stack
        self._began = time.time()
        self.http = self._client(gateway.url)
        self._api = self._client(machine.url)

    def _client(self, url: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.machine.token}"}
        wide = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        return httpx.AsyncClient(
            base_url=url, headers=headers, trust_env=False, timeout=WITHIN, limits=wide, verify=False
        )

    async def close(self) -> None:
        await self.http.aclose()
        await self._api.aclose()

    @property
    def database_url(self) -> str:
        url = self.machine.platform.settings.database_url
        assert url is not None
        return url

    async def move(self, gateway: GatewayProcess) -> None:
        """To another gateway over the same database."""
        await self.http.aclose()
        self.gateway = gateway
        self.http = self._client(gateway.url)
        await self.settled()

    async def key(self, limits: Limits) -> dict[str, str]:
        """The header of a new key with these limits."""
        body = {"name": self.alias, "scopes": ["models:call"], "limits": msgspec.to_builtins(limits)}
        answer = await self._api.post("/api/v1/keys", json=body)
        assert answer.status_code == 201, answer.text
        await self.settled()
        return {"Authorization": f"Bearer {answer.json()['secret']}"}

    # the alias

    async def upstream(self, *acts: Act) -> RawUpstream:
        made = await self._stack.enter_async_context(raw_upstream(in_turn(*acts)))
        self.tally.upstreams.append(made)
        return made

    async def route(self, *urls: str, policy: Policy | None = None, timeout: float = WITHIN, **more: Any) -> None:
        """The alias over deployments of these addresses; `more` is of each deployment: a list of values."""
        self.names = [f"{self.alias}-{letter}" for letter in "abc"[: len(urls)]]
        deployments = []
        for place, (name, url) in enumerate(zip(self.names, urls, strict=True)):
            await self.machine.platform.models.put_connection(1, Connection(name, base_url=url, timeout=timeout))
            own = {field: values[place] for field, values in more.items()}
            deployments.append(Deployment(name, "up", name=name, **own))
        await self.put(Model(self.alias, "chat", tuple(deployments), policy=policy or Policy()))

    async def put(self, model: Model) -> None:
        await self.machine.platform.models.put_model(1, model)
        await self.settled()

    async def settled(self) -> None:
        """Returns when the gateway knows all that was set up."""
        snapshots = self.machine.platform.tenancy.snapshots
        await snapshots.refresh()
        async with asyncio.timeout(WITHIN):
            while (await self.http.get("/readyz")).json()["snapshot"] < snapshots.current.version:
                await asyncio.sleep(0.01)

    # its callers

    def say(self, **fields: Any) -> dict[str, Any]:
        return {"model": self.alias, "messages": [{"role": "user", "content": "Count to five."}], **fields}

    async def ask(self, **fields: Any) -> Told:
        return await self.send(json=self.say(**fields))

    async def send(self, **how: Any) -> Told:
        answer = await self.http.post(CHAT, **how)
        told = Told(answer.status_code, answer.headers, answer.content)
        self.tally.saw.append(str(told))
        return told

    # what is left of it

    async def records(self, least: int = 0) -> list[dict[str, Any]]:
        """What was accounted for the alias, oldest first: all that was recorded before a call made now was."""
        answer = await self.http.post(CHAT, json={**self.say(), "model": WITNESS})
        mark = str(UUID(answer.headers["x-request-id"]))
        async with asyncio.timeout(WITHIN):
            while True:
                newest = await self._page(None)
                if any(record["record_id"] == mark for record in newest["items"]):
                    found = await self._all()
                    if len(found) >= least:
                        return found
                await asyncio.sleep(0.05)

    async def _all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = await self._page(cursor)
            found += [record for record in page["items"] if record["alias"] == self.alias]
            cursor = page["next"]
            if cursor is None or page["items"][-1]["at"] < self._began - 1.0:
                return found[::-1]

    async def _page(self, cursor: str | None) -> dict[str, Any]:
        query = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        answer = await self._api.get("/api/v1/usage/records", params=query)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def expect(self, *calls: int, accounted: list[str]) -> list[dict[str, Any]]:
        """So many calls at each upstream, and records with these outcomes; they are returned."""
        assert tuple(upstream.calls for upstream in self.tally.upstreams) == calls
        found = await self.records()
        self.tally.accounted = [
            f"{record['outcome']} {record['usage']['input_tokens']}+{record['usage']['output_tokens']}"
            for record in found
        ]
        assert [record["outcome"] for record in found] == accounted
        return found


@contextlib.contextmanager
def nobody_listens() -> Iterator[str]:
    """An address that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"

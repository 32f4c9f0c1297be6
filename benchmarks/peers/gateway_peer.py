"""What the gateway's scenarios ask of a system that is measured, and ourselves as one of them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import INTERPLAY, Ours, family_memory
from benchmarks.peers.processes import Service, free_ports
from interplay.client import AsyncClient

LIMITS = {"requests": 100_000_000, "tokens": 100_000_000_000}  # a minute: counted, and never reached
MODELS = ("bench", "paced")  # the upstream paces a stream where the model's name says so
_AT_ONCE = 16  # callers that set up what nobody calls


@dataclass(frozen=True)
class Route:
    """An alias. `targets`: the addresses that may answer it, the first one first, the next where it fails.

    `patience`: seconds for a whole answer, for the first token, and between two. `longer`: the last target takes longer
    prompts than the others. `rests`: a target that failed three times is left alone for a second.
    """

    name: str
    targets: tuple[str, ...]
    patience: float = 60.0
    longer: bool = False
    rests: bool = False


def straight(upstream: str) -> tuple[Route, ...]:
    """One way to go for each model of the load."""
    return tuple(Route(model, (f"http://{upstream}/v1",)) for model in MODELS)


class GatewayPeer(Protocol):
    """One process on core 0 in front of the upstream on core 1. `versions` are those of `pins.py`."""

    name: str
    versions: Mapping[str, str]

    def install(self) -> None:
        """At once when it is there already. Raises `NotHad`."""

    async def start(self, folder: Path, routes: Sequence[Route]) -> None:
        """Ready when it returns. Raises `NotHad`."""

    def aim(self, model: str) -> Aim:
        """`model`: the name of a route."""

    def memory(self) -> float:
        """Resident MB."""

    async def stop(self) -> None:
        """Ends every process it started; also after a failed start."""


class InterplayGateway:
    """`interplay serve gateway` on the database of an `interplay up` without a worker: keys, limits and usage on."""

    versions: Mapping[str, str] = {"interplay": metadata.version("interplay")}

    def __init__(
        self, face: str = "protocol", *, name: str = "", keys: int = 0, aliases: int = 0, replicas: int = 1
    ) -> None:
        """`keys`, `aliases`: so many more, that nobody uses. `replicas`: processes over the one database."""
        self.name = name or ("interplay" if face == "protocol" else f"interplay-{face}")
        self._face = face
        self._keys, self._aliases, self._replicas = keys, aliases, replicas
        self._host: Ours | None = None
        self._gateways: list[Service] = []
        self.addresses: list[str] = []

    def install(self) -> None:
        """It runs us."""

    async def start(self, folder: Path, routes: Sequence[Route]) -> None:
        home = folder / "home"
        home.mkdir()
        self._host = await asyncio.to_thread(Ours, home, "--workers", "0")
        async with self.client() as client:
            for route in routes:
                await self.put(client, route)
            await self._crowd(client, routes[0])
            made = await client.keys.create("bench", limits=LIMITS)
            self.key = made["secret"]
        ports = free_ports(self._replicas)
        for port in ports:
            settings = {
                "INTERPLAY_HOME": str(home),
                "INTERPLAY_PORT": str(port),
                "INTERPLAY_KEY": self._host.key,
                "INTERPLAY_SECRET_UP": "up-secret",
                "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
                "INTERPLAY_GATEWAY_FACE": self._face,
            }
            self._gateways.append(Service([*pinned(0), *INTERPLAY, "serve", "gateway"], folder, settings))
            self.addresses.append(f"127.0.0.1:{port}")
        for gateway, port in zip(self._gateways, ports, strict=True):
            await gateway.listening(port, 60)

    def client(self) -> AsyncClient:
        """Of its API."""
        assert self._host is not None
        return AsyncClient(self._host.url, self._host.key)

    async def put(self, client: AsyncClient, route: Route, **fields: Any) -> None:
        """The alias with a connection for each target; `fields` are of every deployment."""
        deployments = []
        for place, target in enumerate(route.targets):
            name = f"{route.name}-{place}"
            await client.connections.put(
                name, {"base_url": target, "api_key": "secret://UP", "timeout": route.patience}
            )
            longest = {"context": 128_000 if place == len(route.targets) - 1 else 8_192} if route.longer else {}
            one = {"connection": name, "model": route.name, "name": name, "priority": place, **longest, **fields}
            deployments.append(one)
        policy: dict[str, Any] = {}
        if route.patience < 60.0:
            policy["timeouts"] = {"first_token": route.patience, "idle": route.patience}
        if route.rests:
            policy["breaker"] = {"failures": 3, "window": 30.0, "pause": 1.0}
        await client.models.put(route.name, {"task": "chat", "deployments": deployments, "policy": policy})

    async def _crowd(self, client: AsyncClient, like: Route) -> None:
        """Keys and aliases that nobody uses."""

        async def each(make: Callable[[int], Any], numbers: itertools.count[int], most: int) -> None:
            while (number := next(numbers)) < most:
                await make(number)

        def key(number: int) -> Any:
            return client.keys.create(f"key-{number}", models=[like.name], limits=LIMITS)

        def alias(number: int) -> Any:
            one = [{"connection": f"{like.name}-0", "model": like.name}]
            return client.models.put(f"alias-{number}", {"task": "chat", "deployments": one})

        began = time.monotonic()
        for make, most in ((key, self._keys), (alias, self._aliases)):
            numbers = itertools.count()
            await asyncio.gather(*(each(make, numbers, most) for _ in range(_AT_ONCE)))
        if self._keys or self._aliases:
            took = time.monotonic() - began
            print(f"  made {self._keys:,} keys and {self._aliases:,} aliases in {took:.0f} s", flush=True)

    def aim(self, model: str) -> Aim:
        return Aim(self.addresses[0], key=self.key, model=model, pid=self.pid)

    @property
    def pid(self) -> int:
        return self._gateways[0].pid

    def memory(self) -> float:
        return family_memory(self.pid) if self._gateways else 0.0

    async def stop(self) -> None:
        for gateway in self._gateways:
            await gateway.stop()
        if self._host is not None:
            await asyncio.to_thread(self._host.stop)

"""What the gateway's scenarios ask of a system that is measured, and ourselves as one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Protocol

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import INTERPLAY, Ours, family_memory
from benchmarks.peers.processes import Service, free_ports
from interplay.client import AsyncClient

LIMITS = {"requests": 100_000_000, "tokens": 100_000_000_000}  # a minute: counted, and never reached
MODELS = ("bench", "paced")  # the upstream paces a stream where the model's name says so


class GatewayPeer(Protocol):
    """One process on core 0 in front of the upstream on core 1. `versions` are those of `pins.py`."""

    name: str
    versions: Mapping[str, str]

    def install(self) -> None:
        """At once when it is there already. Raises `NotHad`."""

    async def start(self, folder: Path, upstream: str) -> None:
        """Ready when it returns. Raises `NotHad`."""

    def aim(self, model: str) -> Aim: ...

    def memory(self) -> float:
        """Resident MB."""

    async def stop(self) -> None:
        """Ends every process it started; also after a failed start."""


class InterplayGateway:
    """`interplay serve gateway` on the database of an `interplay up` without a worker: keys, limits and usage on."""

    versions: Mapping[str, str] = {"interplay": metadata.version("interplay")}

    def __init__(self, face: str = "protocol", *, aliases: int = 0) -> None:
        """`aliases`: so many more, that nobody calls."""
        self.name = "interplay" if face == "protocol" else f"interplay-{face}"
        self._face = face
        self._aliases = aliases
        self._host: Ours | None = None
        self._gateway: Service | None = None

    def install(self) -> None:
        """It runs us."""

    async def start(self, folder: Path, upstream: str) -> None:
        home = folder / "home"
        home.mkdir()
        self._host = await asyncio.to_thread(Ours, home, "--workers", "0")
        async with AsyncClient(self._host.url, self._host.key) as client:
            await client.connections.put("up", {"base_url": f"http://{upstream}/v1", "api_key": "secret://UP"})
            for model in MODELS:  # one way to go, as the peers have it
                one = [{"connection": "up", "model": model}]
                await client.models.put(model, {"task": "chat", "deployments": one})
            made = await client.keys.create("bench", models=list(MODELS), limits=LIMITS)
            self._key = made["secret"]
            for number in range(self._aliases):
                one = [{"connection": "up", "model": "bench"}]
                await client.models.put(f"alias-{number}", {"task": "chat", "deployments": one})
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        settings = {
            "INTERPLAY_HOME": str(home),
            "INTERPLAY_PORT": str(port),
            "INTERPLAY_KEY": self._host.key,
            "INTERPLAY_SECRET_UP": "up-secret",
            "INTERPLAY_EGRESS_ALLOW": "127.0.0.0/8",
            "INTERPLAY_GATEWAY_FACE": self._face,
        }
        self._gateway = Service([*pinned(0), *INTERPLAY, "serve", "gateway"], folder, settings)
        await self._gateway.listening(port, 60)

    def aim(self, model: str) -> Aim:
        assert self._gateway is not None
        return Aim(self._address, key=self._key, model=model, pid=self._gateway.pid)

    def memory(self) -> float:
        return family_memory(self._gateway.pid) if self._gateway is not None else 0.0

    async def stop(self) -> None:
        if self._gateway is not None:
            await self._gateway.stop()
        if self._host is not None:
            await asyncio.to_thread(self._host.stop)

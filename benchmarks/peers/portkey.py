"""Portkey's gateway in JavaScript: no keys of its own and no usage; where a call goes stands in its headers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import family_memory
from benchmarks.peers import pins
from benchmarks.peers.gateway_peer import Route
from benchmarks.peers.installing import node_modules
from benchmarks.peers.peer import NotHad
from benchmarks.peers.processes import Service, free_ports


def _headers(route: Route) -> dict[str, str]:
    """One target by its plain headers, several by a configuration with a fallback."""
    late = int(route.patience * 1000) if route.patience < 60.0 else None
    if len(route.targets) == 1:
        plain = {"x-portkey-provider": "openai", "x-portkey-custom-host": route.targets[0]}
        return plain | ({"x-portkey-request-timeout": str(late)} if late else {})
    targets = [
        {"provider": "openai", "custom_host": target, "api_key": "up-secret"}
        | ({"request_timeout": late} if late else {})
        for target in route.targets
    ]
    return {"x-portkey-config": json.dumps({"strategy": {"mode": "fallback"}, "targets": targets})}


class Portkey:
    name = "portkey"
    versions: Mapping[str, str] = {**pins.PORTKEY, **pins.PORTKEY_SERVER}

    def __init__(self) -> None:
        self._gateway: Service | None = None

    def install(self) -> None:
        self._folder = node_modules(self.name, pins.PORTKEY, pins.PORTKEY_SERVER)

    async def start(self, folder: Path, routes: Sequence[Route]) -> None:
        node = shutil.which("node")
        if node is None:
            raise NotHad("portkey needs the command `node`, which is not on this machine")
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        self._headers = {route.name: _headers(route) for route in routes}
        program = self._folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
        settings = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"}
        command = [*pinned(0), node, str(program), "--headless", f"--port={port}"]
        self._gateway = Service(command, folder, settings)
        await self._gateway.listening(port, 60)

    def aim(self, model: str) -> Aim:
        assert self._gateway is not None
        return Aim(self._address, key="up-secret", model=model, headers=self._headers[model], pid=self._gateway.pid)

    def memory(self) -> float:
        return family_memory(self._gateway.pid) if self._gateway is not None else 0.0

    async def stop(self) -> None:
        if self._gateway is not None:
            await self._gateway.stop()

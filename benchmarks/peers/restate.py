"""Restate: its server from npm on its own log (its fsync is on by default), a Python service, HTTP ingress."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping

from benchmarks.harness.caller import Caller
from benchmarks.peers import pins
from benchmarks.peers.closed_loop import Target, closed_loop
from benchmarks.peers.crew import PROGRAMS
from benchmarks.peers.installing import node_modules, python_environment
from benchmarks.peers.peer import Measured, NotHad, Place, Work
from benchmarks.peers.processes import Service, free_ports

WORKERS = 2


class Restate:
    name = "restate"
    versions: Mapping[str, str] = {**pins.RESTATE_SERVER, **pins.RESTATE_SDK, **pins.LOOP}

    def __init__(self) -> None:
        self._services: list[Service] = []
        self._url = ""

    def install(self) -> None:
        self._node = node_modules(self.name, pins.RESTATE_SERVER)
        self._python = python_environment(self.name, {**pins.RESTATE_SDK, **pins.LOOP})

    async def start(self, place: Place) -> None:
        ingress, admin, fabric, handler = free_ports(4)
        self._url = f"http://127.0.0.1:{ingress}"
        server = Service(
            [str(self._node / "node_modules" / ".bin" / "restate-server"), "--no-logo", "--listen-mode", "tcp",
             "--bind-ip", "127.0.0.1", "--bind-port", str(fabric), "--base-dir", str(place.folder / "data")],
            place.folder,
            {
                "RESTATE_INGRESS__BIND_ADDRESS": f"127.0.0.1:{ingress}",
                "RESTATE_ADMIN__BIND_ADDRESS": f"127.0.0.1:{admin}",
                "RESTATE_DISABLE_TELEMETRY": "true",
                "RESTATE_LOG_FILTER": "warn",
            },
        )  # fmt: skip
        self._services.append(server)
        program = ["restate_chain:app", "--bind", f"127.0.0.1:{handler}"]
        hypercorn = [str(self._python / "bin" / "hypercorn"), "--workers", str(WORKERS), "--worker-class", "uvloop"]
        handlers = Service([*hypercorn, *program], place.folder, {"PYTHONPATH": str(PROGRAMS)})
        self._services.append(handlers)
        await server.listening(admin, 60)
        await server.listening(ingress, 60)
        await handlers.listening(handler, 60)
        await asyncio.to_thread(_register, admin, handler)

    async def round(self, work: Work) -> Measured:
        target = Target(self._url, headers={"Content-Type": "application/json"})
        return await closed_loop(target, work, _chain)

    async def stop(self) -> None:
        for service in reversed(self._services):
            await service.stop()
        self._services.clear()


def _register(admin: int, handler: int) -> None:
    body = b'{"uri": "http://127.0.0.1:%d"}' % handler
    request = urllib.request.Request(f"http://127.0.0.1:{admin}/deployments", body)
    request.add_header("Content-Type", "application/json")
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except OSError as wrong:
        raise NotHad(f"restate did not take the service: {wrong}") from None


async def _chain(caller: Caller) -> None:
    found = await caller.post("/Chain/run", 1)
    if found != 6:
        raise AssertionError(f"the chain made {found}, not 6")

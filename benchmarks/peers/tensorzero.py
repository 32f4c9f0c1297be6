"""TensorZero: the gateway in Rust, its observability off, as its documentation advises for the least latency."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import family_memory
from benchmarks.peers import pins
from benchmarks.peers.crew import PROGRAMS
from benchmarks.peers.gateway_peer import Route
from benchmarks.peers.installing import python_environment
from benchmarks.peers.processes import Service

_MODEL = """
[models.{model}]
routing = {routing}
"""
_PROVIDER = """
[models.{model}.providers.{name}]
type = "openai"
model_name = "{model}"
api_base = "{target}/"
api_key_location = "env::OPENAI_API_KEY"
"""
_PATIENCE = "timeouts = {{ non_streaming.total_ms = {most}, streaming.ttft_ms = {most}, streaming.total_ms = {all} }}\n"


def _entry(route: Route) -> str:
    """It has no bound for the silence between two tokens: one for the whole stream stands for it."""
    names = [f"up{place}" for place in range(len(route.targets))]
    entry = _MODEL.format(model=route.name, routing=json.dumps(names))
    for name, target in zip(names, route.targets, strict=True):
        entry += _PROVIDER.format(model=route.name, name=name, target=target)
        if route.patience < 60.0:
            most = int(route.patience * 1000)
            entry += _PATIENCE.format(most=most, all=3 * most)
    return entry


class TensorZero:
    name = "tensorzero"
    versions: Mapping[str, str] = pins.TENSORZERO

    def __init__(self) -> None:
        self._gateway: Service | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, folder: Path, routes: Sequence[Route]) -> None:
        config = folder / "tensorzero.toml"
        config.write_text("[gateway]\nobservability.enabled = false\n" + "".join(map(_entry, routes)))
        command = [str(self._python / "bin" / "python"), str(PROGRAMS / "tensorzero_gateway.py"), str(config)]
        self._gateway = Service([*pinned(0), *command], folder, {"OPENAI_API_KEY": "up-secret"})
        said = await self._gateway.says("http://", 60)
        self._address = urlsplit(said[said.index("http://") :]).netloc
        await asyncio.sleep(0.2)

    def aim(self, model: str) -> Aim:
        assert self._gateway is not None
        name = f"tensorzero::model_name::{model}"
        return Aim(self._address, "/openai/v1/chat/completions", model=name, pid=self._gateway.pid)

    def memory(self) -> float:
        return family_memory(self._gateway.pid) if self._gateway is not None else 0.0

    async def stop(self) -> None:
        if self._gateway is not None:
            await self._gateway.stop()

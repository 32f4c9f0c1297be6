"""TensorZero: the gateway in Rust, its observability off, as its documentation advises for the least latency."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import family_memory
from benchmarks.peers import pins
from benchmarks.peers.crew import PROGRAMS
from benchmarks.peers.gateway_peer import MODELS
from benchmarks.peers.installing import python_environment
from benchmarks.peers.processes import Service

_PROVIDER = """
[models.{model}]
routing = ["up"]

[models.{model}.providers.up]
type = "openai"
model_name = "{model}"
api_base = "http://{upstream}/v1/"
api_key_location = "env::OPENAI_API_KEY"
"""


class TensorZero:
    name = "tensorzero"
    versions: Mapping[str, str] = pins.TENSORZERO

    def __init__(self) -> None:
        self._gateway: Service | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, folder: Path, upstream: str) -> None:
        config = folder / "tensorzero.toml"
        models = "".join(_PROVIDER.format(model=model, upstream=upstream) for model in MODELS)
        config.write_text(f"[gateway]\nobservability.enabled = false\n{models}")
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

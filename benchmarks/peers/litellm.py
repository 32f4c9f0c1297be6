"""LiteLLM's proxy: one worker, no database, no logging, as its pages on speed advise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import family_memory
from benchmarks.peers import pins
from benchmarks.peers.gateway_peer import MODELS
from benchmarks.peers.installing import python_environment
from benchmarks.peers.processes import Service, free_ports


class LiteLlm:
    name = "litellm"
    versions: Mapping[str, str] = pins.LITELLM

    def __init__(self) -> None:
        self._gateway: Service | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, folder: Path, upstream: str) -> None:
        def entry(model: str) -> dict[str, object]:
            where = {"model": f"openai/{model}", "api_base": f"http://{upstream}/v1", "api_key": "up-secret"}
            return {"model_name": model, "litellm_params": where}

        config = folder / "config.yaml"  # JSON is YAML
        config.write_text(json.dumps({"model_list": [entry(model) for model in MODELS]}))
        (port,) = free_ports(1)
        self._address = f"127.0.0.1:{port}"
        settings = {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": "sk-bench",
            "LITELLM_TELEMETRY": "False",
        }
        program = str(self._python / "bin" / "litellm")
        command = [*pinned(0), program, "--config", str(config), "--port", str(port), "--num_workers", "1"]
        self._gateway = Service(command, folder, settings)
        await self._gateway.listening(port, 120)

    def aim(self, model: str) -> Aim:
        assert self._gateway is not None
        return Aim(self._address, key="sk-bench", model=model, pid=self._gateway.pid)

    def memory(self) -> float:
        return family_memory(self._gateway.pid) if self._gateway is not None else 0.0

    async def stop(self) -> None:
        if self._gateway is not None:
            await self._gateway.stop()

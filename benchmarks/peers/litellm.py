"""LiteLLM's proxy: one worker, no database, no logging, as its pages on speed advise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.loading import Aim, pinned
from benchmarks.harness.ours import family_memory
from benchmarks.peers import pins
from benchmarks.peers.gateway_peer import Route
from benchmarks.peers.installing import python_environment
from benchmarks.peers.processes import Service, free_ports


def _config(routes: Sequence[Route]) -> dict[str, object]:
    """Each target is a model group of its own, and the next one its fallback: its documentation's way."""
    models, fallbacks = [], []
    for route in routes:
        names = [route.name if place == 0 else f"{route.name}-{place}" for place in range(len(route.targets))]
        for name, target in zip(names, route.targets, strict=True):
            where: dict[str, object] = {"model": f"openai/{route.name}", "api_base": target, "api_key": "up-secret"}
            if route.patience < 60.0:
                where |= {"timeout": route.patience, "stream_timeout": route.patience}
            models.append({"model_name": name, "litellm_params": where})
        if names[1:]:
            fallbacks.append({route.name: names[1:]})
    if not fallbacks:
        return {"model_list": models}
    router = {"fallbacks": fallbacks, "context_window_fallbacks": fallbacks, "num_retries": 0}
    return {"model_list": models, "router_settings": {**router, "allowed_fails": 2, "cooldown_time": 1}}


class LiteLlm:
    name = "litellm"
    versions: Mapping[str, str] = pins.LITELLM

    def __init__(self) -> None:
        self._gateway: Service | None = None

    def install(self) -> None:
        self._python = python_environment(self.name, self.versions)

    async def start(self, folder: Path, routes: Sequence[Route]) -> None:
        config = folder / "config.yaml"  # JSON is YAML
        config.write_text(json.dumps(_config(routes)))
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

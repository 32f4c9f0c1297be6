"""Live aliases for tests, and plans played against a script of outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interplay.core.models.health import LiveDeployment
from interplay.core.models.policy import Policy
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.models.requests import Task
from interplay.core.models.routing import LiveModel, live_model

CONNECTIONS: Mapping[str, Connection] = {"c": Connection("c", base_url="http://127.0.0.1:9/v1")}


def deployment(name: str, **options: Any) -> Deployment:
    return Deployment("c", options.pop("model", "m"), name=name, **options)


def alias(*deployments: str | Deployment, name: str = "alias", task: Task = "chat", **policy: Any) -> LiveModel:
    """An alias over deployments; what is left are fields of its policy."""
    made = tuple(deployment(one) if isinstance(one, str) else one for one in deployments)
    return live_model(1, Model(name, task, made, policy=Policy(**policy)), CONNECTIONS)


def names(*lives: LiveDeployment | None) -> list[str | None]:
    return [None if live is None else live.name for live in lives]


def called(live: LiveDeployment, now: float, seconds: float = 0.1, outcome: str = "ok", times: int = 1) -> None:
    for _ in range(times):
        live.begin(now)
        live.observe(now + seconds, seconds, outcome)

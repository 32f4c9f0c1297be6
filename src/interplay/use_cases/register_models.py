"""Connections and models from `interplay.yaml` or the API, idempotent by name; and those of this machine."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput, NotFound, near_names
from interplay.core.flows.source import read_yaml
from interplay.core.models.registry import Connection, Deployment, Model, Registry
from interplay.ports.model_registry import ModelRegistry


def _here(model: str) -> Deployment:
    """A model of this machine; what it cannot take at once waits in the worker, not in the model server."""
    return Deployment("this-machine", model, concurrency=8)


LOCAL: Final = Registry(
    {"this-machine": Connection("this-machine", kind="local", timeout=300.0)},
    {
        model.name: model
        for model in (
            Model("small", "chat", (_here("smollm2-135m-instruct"),), "A very small chat model."),
            Model("minilm", "embed", (_here("all-minilm-l6-v2"),), "384 numbers a text."),
            Model("rerank", "rerank", (_here("minilm-maxsim"),), "Late interaction over minilm."),
            Model("zero-shot", "classify", (_here("zero-shot-minilm"),), "Any labels."),
            Model("vader", "classify", (_here("vader"),), "Sentiment of English text."),
            Model("language", "classify", (_here("langid"),), "The language of a text."),
        )
    },
)


class RegisterModels:
    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def local(self, project_id: int) -> None:
        """The models of this machine, where the project has none of the same name."""
        known = await self._registry.load(project_id)
        for connection in LOCAL.connections.values():
            if connection.name not in known.connections:
                await self._registry.put_connection(project_id, connection)
        for model in LOCAL.models.values():
            if model.name not in known.models:
                await self._registry.put_model(project_id, model)

    async def apply(self, project_id: int, text: str, file: str = "") -> list[str]:
        """A file with `connections:` and `models:`; what changed. Raises InvalidInput that names the place."""
        wanted = read_registry(text, file)
        changed = [
            f"connection {connection.name}"
            for connection in wanted.connections.values()
            if await self._registry.put_connection(project_id, connection)
        ]
        changed += [
            f"model {model.name}"
            for model in wanted.models.values()
            if await self._registry.put_model(project_id, model)
        ]
        return changed

    async def put_connection(self, project_id: int, body: Any) -> bool:
        return await self._registry.put_connection(project_id, _made(Connection, body, "connection"))

    async def put_model(self, project_id: int, body: Any) -> bool:
        return await self._registry.put_model(project_id, _made(Model, body, "model"))


def read_registry(text: str, file: str = "") -> Registry:
    """`connections: {name: {…}}`, `models: {name: {task, connection, model, …} or {task, deployments: […]}}`."""
    source = read_yaml(text, file)
    if source.problems:
        raise InvalidInput(str(source.problems[0]), where=file or "interplay.yaml")
    data = source.data if isinstance(source.data, dict) else {}
    for key in data:
        if key not in ("connections", "models"):
            near = near_names(key, ("connections", "models"))
            place = source.key((key,))
            raise InvalidInput(
                f"{key!r} is not known here.", where=str(place), advice=f"Did you mean {near[0]!r}?" if near else None
            )
    connections = {
        name: _made(Connection, {"name": name, **(body or {})}, f"connections.{name}")
        for name, body in (data.get("connections") or {}).items()
    }
    models = {
        name: _made(Model, _long({"name": name, **(body or {})}), f"models.{name}")
        for name, body in (data.get("models") or {}).items()
    }
    for model in models.values():
        for deployment in model.deployments:
            if connections and deployment.connection not in {*connections, *LOCAL.connections}:
                raise NotFound.named("connection", deployment.connection, connections)
    return Registry(connections, models)


def _long(body: dict[str, Any]) -> dict[str, Any]:
    """One deployment may stand in the model itself."""
    if "deployments" in body or "connection" not in body:
        return body
    own = {name: body.pop(name) for name in list(body) if name in Deployment.__struct_fields__}
    return {**body, "deployments": [own]}


def _made(kind: type[Any], body: Any, where: str) -> Any:
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as wrong:
        raise InvalidInput(f"{wrong}.", where=where) from None

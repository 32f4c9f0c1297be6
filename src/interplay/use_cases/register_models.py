"""Connections and models from `interplay.yaml` or the API, idempotent by name; and those of this machine."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.flows.source import Path, from_data, read_yaml
from interplay.core.flows.suggestions import listed, nearest
from interplay.core.models.checking import check_connection, check_model
from interplay.core.models.reading import InvalidModels, Reader
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


_SECTIONS: Final = ("connections", "models")
_DEPLOYMENT: Final = frozenset(Deployment.__struct_fields__) - frozenset(Model.__struct_fields__)


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
        """A file with `connections:` and `models:`; what changed. Raises InvalidModels with every problem's place."""
        known = await self._registry.load(project_id)
        wanted = read_registry(text, file, known)
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
        """Raises InvalidModels."""
        reader = Reader(from_data(body))
        connection = reader.struct(Connection, reader.source.data, ())
        if connection is not None:
            check_connection(connection, reader, ())
        if connection is None or reader.problems:
            raise InvalidModels(reader.problems)
        return await self._registry.put_connection(project_id, connection)

    async def put_model(self, project_id: int, body: Any) -> bool:
        """Raises InvalidModels. Aliases to fall back to may come later: until then they are passed over."""
        reader = Reader(from_data(body))
        model = _model(reader, reader.source.data, ())
        if model is None or reader.problems:
            raise InvalidModels(reader.problems)
        return await self._registry.put_model(project_id, model)


def read_registry(text: str, file: str = "", known: Registry | None = None) -> Registry:
    """`connections: {name: {…}}`, `models: {name: {task, connection, model, …} or {task, deployments: […]}}`.

    `known`: what is there beside the file, so that names can be checked; None where nobody can say. Raises
    InvalidModels with every problem and its place.
    """
    reader = Reader(read_yaml(text, file))
    data = reader.source.data if isinstance(reader.source.data, dict) else {}
    for key in data:
        if key not in _SECTIONS:
            reader.unknown(key, _SECTIONS, ())
    connections: dict[str, Connection] = {}
    for name, body in _entries(reader, data, "connections"):
        connection = reader.struct(Connection, {**body, "name": name}, ("connections", name))
        if connection is not None:
            check_connection(connection, reader, ("connections", name))
            connections[name] = connection
    there = Registry() if known is None else known
    bodies = dict(_entries(reader, data, "models"))
    tasks = {name: str(model.task) for name, model in {**LOCAL.models, **there.models}.items()}
    tasks |= {name: str(body.get("task")) for name, body in bodies.items()}
    models: dict[str, Model] = {}
    for name, body in bodies.items():
        model = _model(reader, {**body, "name": name}, ("models", name), tasks if known is not None else None)
        if model is not None:
            models[name] = model
            _check_connections(reader, model, {**LOCAL.connections, **there.connections, **connections}, known)
    if reader.problems:
        raise InvalidModels(reader.problems)
    return Registry(connections, models)


def _entries(reader: Reader, data: dict[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    """The things of a section by name; what is no mapping is complained of."""
    found = data.get(section) or {}
    if not isinstance(found, dict):
        reader.complain((section,), f"`{section}` is no mapping", "names, each with what it is")
        return []
    entries = []
    for name, body in found.items():
        if isinstance(body, dict):
            entries.append((str(name), body))
        else:
            reader.complain((section, name), f"{name!r} is no mapping", "a mapping with what it is")
    return entries


def _model(reader: Reader, body: Any, path: Path, others: dict[str, str] | None = None) -> Model | None:
    """An alias; its one deployment may stand in the alias itself."""
    short = isinstance(body, dict) and "deployments" not in body and "connection" in body
    if short:
        own = {name: body[name] for name in body if name in _DEPLOYMENT}
        deployment = reader.struct(Deployment, own, path)
        body = {name: value for name, value in body.items() if name not in _DEPLOYMENT}
        body["deployments"] = [] if deployment is None else [msgspec.to_builtins(deployment)]
    model = reader.struct(Model, body, path)
    if model is not None and not (short and deployment is None):
        check_model(model, reader, path, others)
    return model


def _check_connections(
    reader: Reader, model: Model, connections: dict[str, Connection], known: Registry | None
) -> None:
    for place, deployment in enumerate(model.deployments):
        if deployment.connection not in connections and (known is not None or connections):
            near = nearest(deployment.connection, list(connections))
            meant = f"Did you mean {near[0]!r}?" if near else None
            path = ("models", model.name, "deployments", place, "connection")
            message = f"there is no connection {deployment.connection!r}"
            reader.complain(path, message, listed(list(connections)), meant)

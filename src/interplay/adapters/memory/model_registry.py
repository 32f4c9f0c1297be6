"""Connections and models in memory."""

from __future__ import annotations

from interplay.core.errors import Conflict, NotFound
from interplay.core.models.registry import Connection, Model, Registry


class MemoryModelRegistry:
    def __init__(self) -> None:
        self._projects: dict[int, Registry] = {}

    async def load(self, project_id: int) -> Registry:
        return self._projects.setdefault(project_id, Registry({}, {}))

    async def put_connection(self, project_id: int, connection: Connection) -> bool:
        known = (await self.load(project_id)).connections
        changed = known.get(connection.name) != connection
        known[connection.name] = connection
        return changed

    async def put_model(self, project_id: int, model: Model) -> bool:
        registry = await self.load(project_id)
        for deployment in model.deployments:
            if deployment.connection not in registry.connections:
                raise NotFound.named("connection", deployment.connection, registry.connections)
        changed = registry.models.get(model.name) != model
        registry.models[model.name] = model
        return changed

    async def delete_connection(self, project_id: int, name: str) -> None:
        registry = await self.load(project_id)
        users = [m.name for m in registry.models.values() if any(d.connection == name for d in m.deployments)]
        if users:
            raise Conflict(f"The connection {name!r} is used by {', '.join(users)}.")
        if registry.connections.pop(name, None) is None:
            raise NotFound.named("connection", name, registry.connections)

    async def delete_model(self, project_id: int, name: str) -> None:
        models = (await self.load(project_id)).models
        if models.pop(name, None) is None:
            raise NotFound.named("model", name, models)

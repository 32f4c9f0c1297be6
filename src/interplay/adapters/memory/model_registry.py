"""Connections and models in memory."""

from __future__ import annotations

from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.core.errors import Conflict, NotFound
from interplay.core.models.registry import Connection, Model, Registry


class MemoryModelRegistry:
    def __init__(self, ledger: MemoryConfigLedger | None = None) -> None:
        self._ledger = ledger or MemoryConfigLedger()
        self._projects = self._ledger.registries

    async def load(self, project_id: int) -> Registry:
        """A new one after each change, so that what was loaded stays as it was."""
        return self._projects.setdefault(project_id, Registry({}, {}))

    async def put_connection(self, project_id: int, connection: Connection) -> bool:
        registry = await self.load(project_id)
        if registry.connections.get(connection.name) == connection:
            return False
        connections = {**registry.connections, connection.name: connection}
        self._projects[project_id] = Registry(connections, registry.models)
        self._ledger.note("connection", project_id, connection.name)
        return True

    async def put_model(self, project_id: int, model: Model) -> bool:
        registry = await self.load(project_id)
        for deployment in model.deployments:
            if deployment.connection not in registry.connections:
                raise NotFound.named("connection", deployment.connection, registry.connections)
        if registry.models.get(model.name) == model:
            return False
        self._projects[project_id] = Registry(registry.connections, {**registry.models, model.name: model})
        self._ledger.note("model", project_id, model.name)
        return True

    async def delete_connection(self, project_id: int, name: str) -> None:
        registry = await self.load(project_id)
        users = [m.name for m in registry.models.values() if any(d.connection == name for d in m.deployments)]
        if users:
            raise Conflict(f"The connection {name!r} is used by {', '.join(users)}.")
        if name not in registry.connections:
            raise NotFound.named("connection", name, registry.connections)
        left = {known: value for known, value in registry.connections.items() if known != name}
        self._projects[project_id] = Registry(left, registry.models)
        self._ledger.note("connection", project_id, name)

    async def delete_model(self, project_id: int, name: str) -> None:
        registry = await self.load(project_id)
        if name not in registry.models:
            raise NotFound.named("model", name, registry.models)
        left = {known: value for known, value in registry.models.items() if known != name}
        self._projects[project_id] = Registry(registry.connections, left)
        self._ledger.note("model", project_id, name)

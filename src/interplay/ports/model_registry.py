"""Where connections and models are kept."""

from __future__ import annotations

from typing import Protocol

from interplay.core.models.registry import Connection, Model, Registry


class ModelRegistry(Protocol):
    async def load(self, project_id: int) -> Registry:
        """Everything the project knows; cheap enough to call often (implementations keep it in memory)."""
        ...

    async def put_connection(self, project_id: int, connection: Connection) -> bool:
        """False: nothing changed."""
        ...

    async def put_model(self, project_id: int, model: Model) -> bool: ...

    async def delete_connection(self, project_id: int, name: str) -> None:
        """NotFound, or Conflict while a model uses it."""
        ...

    async def delete_model(self, project_id: int, name: str) -> None: ...

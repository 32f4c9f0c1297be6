"""One call of a model by its alias: which deployment, in what order, what it cost.

The steps of flows and the gateway go through here alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from interplay.core.errors import NotFound, near_names
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection, Deployment, Model, Registry
from interplay.ports.model_provider import ModelProvider
from interplay.ports.model_registry import ModelRegistry

Answer = TypeVar("Answer")
ProviderOf = Callable[[int, Connection], Awaitable[ModelProvider]]
_NEXT: Final = frozenset({"rate_limited", "unavailable", "timeout"})  # another deployment may do better


class CallModel:
    """Deployments are tried in their order; a later one only when the one before is away or busy."""

    def __init__(self, registry: ModelRegistry, provider_of: ProviderOf) -> None:
        self._registry = registry
        self._provider_of = provider_of
        self._busy: dict[tuple[int, str, int], tuple[int, asyncio.Semaphore]] = {}

    async def model(self, project_id: int, alias: str) -> Model:
        """Raises StepFailure (`not_found`) with near names."""
        registry = await self._registry.load(project_id)
        return _found(registry, alias)

    async def run(
        self,
        project_id: int,
        alias: str,
        call: Callable[[ModelProvider, Deployment, Model], Awaitable[Answer]],
    ) -> tuple[Answer, Deployment]:
        """The answer and the deployment that gave it. Raises StepFailure, the last deployment's when all fail."""
        registry = await self._registry.load(project_id)
        model = _found(registry, alias)
        failure: StepFailure | None = None
        for place, deployment in enumerate(model.deployments):
            connection = registry.connections.get(deployment.connection)
            if connection is None:
                raise StepFailure(
                    "not_found", f"{alias} needs the connection {deployment.connection!r}, which is gone."
                )
            try:
                async with self._room(project_id, model, place):
                    provider = await self._provider(project_id, connection)
                    return await call(provider, deployment, model), deployment
            except StepFailure as failed:
                if failed.failure.code not in _NEXT:
                    raise
                failure = failed
        raise failure or StepFailure("not_found", f"The model {alias!r} has no deployment.")

    async def _provider(self, project_id: int, connection: Connection) -> ModelProvider:
        try:
            return await self._provider_of(project_id, connection)
        except NotFound as missing:
            raise StepFailure("unauthorized", missing.detail, where=missing.where, advice=missing.advice) from missing

    def _room(self, project_id: int, model: Model, place: int) -> asyncio.Semaphore:
        """The deployment's concurrency, counted in this process."""
        most = model.deployments[place].concurrency or 1_000_000
        key = (project_id, model.name, place)
        kept = self._busy.get(key)
        if kept is None or kept[0] != most:
            kept = self._busy[key] = (most, asyncio.Semaphore(most))
        return kept[1]

    async def digest_parts(self, project_id: int, alias: str) -> list[Any]:
        """What a cached answer depends on: the deployments behind the alias."""
        model = await self.model(project_id, alias)
        return [[d.connection, d.model, d.options] for d in model.deployments]


def _found(registry: Registry, alias: str) -> Model:
    model = registry.models.get(alias)
    if model is None:
        near = near_names(alias, registry.models)
        meant = f"Did you mean {near[0]!r}?" if near else "`interplay models list` shows those that there are."
        raise StepFailure("not_found", f"There is no model {alias!r}.", advice=meant)
    return model

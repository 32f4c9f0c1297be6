"""The aliases of a project as they are called: from the snapshot or the registry, with health kept across changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from interplay.core.errors import Unavailable
from interplay.core.models.registry import Registry
from interplay.core.models.routing import LiveModel, live_model
from interplay.ports.model_registry import ModelRegistry
from interplay.use_cases.refresh_snapshot import RefreshSnapshot


class Models(Protocol):
    async def of(self, project_id: int, alias: str = "") -> Mapping[str, LiveModel]:
        """The project's aliases. `alias`: the one that is asked for, in case it is so new that it is not known yet."""
        ...


class SnapshotModels:
    """Those of the snapshot that the gateway's hot path uses too: one deployment, one breaker, one queue."""

    def __init__(self, snapshots: RefreshSnapshot[LiveModel]) -> None:
        self._snapshots = snapshots

    async def of(self, project_id: int, alias: str = "") -> Mapping[str, LiveModel]:
        if alias and (project_id, alias) not in self._snapshots.current.models:
            with contextlib.suppress(Unavailable):
                await self._snapshots.refresh()
        return _OfProject(self._snapshots.current.models, project_id)


class _OfProject(Mapping[str, LiveModel]):
    """One project's part of the snapshot, by alias."""

    def __init__(self, models: Mapping[tuple[int, str], LiveModel], project_id: int) -> None:
        self._models = models
        self._project_id = project_id

    def __getitem__(self, alias: str) -> LiveModel:
        return self._models[(self._project_id, alias)]

    def __iter__(self) -> Iterator[str]:
        return (alias for project_id, alias in self._models if project_id == self._project_id)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class LiveModels:
    """Straight from a registry, for a process without a snapshot. Made anew only where something changed, so it may be
    asked before each call."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._kept: dict[int, tuple[Registry, dict[str, LiveModel]]] = {}

    async def of(self, project_id: int, alias: str = "") -> Mapping[str, LiveModel]:  # noqa: ARG002
        registry = await self._registry.load(project_id)
        kept = self._kept.get(project_id)
        if kept is not None and kept[0] is registry:
            return kept[1]
        before_registry, before = kept if kept is not None else (Registry(), {})
        changed = before_registry.connections != registry.connections
        made: dict[str, LiveModel] = {}
        for name, model in registry.models.items():
            old = before.get(name)
            same = old is not None and not changed and old.model == model
            made[name] = old if old is not None and same else live_model(project_id, model, registry.connections, old)
        self._kept[project_id] = (registry, made)
        return made

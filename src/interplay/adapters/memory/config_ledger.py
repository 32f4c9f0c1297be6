"""The configuration in memory: what key store, price store and model registry share, and its version."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Registry
from interplay.core.tenancy.keys import Key, Project
from interplay.ports.config_store import Change, Noun


class MemoryConfigLedger:
    """`changed` is called after each change."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.projects: dict[int, Project] = {0: Project(0, "(organisation)"), 1: Project(1, "default")}
        self.keys: dict[UUID, Key] = {}
        self.digests: set[bytes] = set()
        self.registries: dict[int, Registry] = {}
        self.prices: dict[tuple[int, str, float], PricePoint] = {}
        self.log: list[Change] = []
        self._changed = changed

    def note(self, noun: Noun, project_id: int, name: str) -> None:
        self.log.append(Change(noun, project_id, name))
        self._changed()

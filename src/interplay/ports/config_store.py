"""The whole installation's configuration as the request path needs it: all of it once, then what changed.

Every change of a key, project, connection, model or price raises the version, in the same transaction; versions
become visible in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Connection, Model
from interplay.core.tenancy.keys import Key, Project

Noun = Literal["key", "project", "connection", "model", "price"]


@dataclass(frozen=True, slots=True)
class Change:
    """`name`: a key's id, a project's id, a connection's or model's name, a price's target."""

    noun: Noun
    project_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that is there. A price's target has an entry for each point in time."""

    noun: Noun
    project_id: int
    name: str
    value: Key | Project | Connection | Model | PricePoint


class ConfigStore(Protocol):
    async def version(self) -> int: ...

    async def changes(self, after: int) -> tuple[int, list[Change]] | None:
        """The present version and what changed since `after`; None: that is too long ago, load everything."""
        ...

    def everything(self, page: int = 250) -> AsyncIterator[list[Entry]]:
        """In pages: projects first, then keys, connections, models, prices. Deleted keys are not among them."""
        ...

    async def entries(self, changes: Sequence[Change]) -> list[Entry]:
        """What is there now of these. What is not was deleted."""
        ...

"""Flows by name, their immutable versions, and the channels that point at versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FlowVersion:
    """`version` is the hex content hash; `ir` the canonical bytes; `source` the YAML as it was given."""

    name: str
    version: str
    ir: bytes
    source: str
    created_at: float


@dataclass(frozen=True, slots=True)
class FlowSummary:
    name: str
    about: str | None
    latest: str
    channels: dict[str, str]
    updated_at: float


class FlowStore(Protocol):
    async def put(
        self, project_id: int, name: str, version: str, ir: bytes, source: str, about: str | None = None
    ) -> bool:
        """Keeps a version. False: it was there already (nothing changes)."""
        ...

    async def get(self, project_id: int, version: str, name: str | None = None) -> FlowVersion:
        """By hash, or by a beginning of it of at least 6 characters with the flow's name. NotFound otherwise."""
        ...

    async def load(self, version: str) -> bytes:
        """The canonical bytes of a version, of any project: content is named by its hash. NotFound."""
        ...

    async def versions(self, project_id: int, name: str, limit: int, before: float | None = None) -> list[FlowVersion]:
        """Newest first. NotFound with near names when there is no such flow."""
        ...

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[FlowSummary]:
        """By name."""
        ...

    async def set_channel(
        self, project_id: int, name: str, channel: str, version: str, expected: str | None = None
    ) -> str | None:
        """Points a channel at a version; gives what it pointed at. `expected`: Conflict when it points elsewhere."""
        ...

    async def channels(self, project_id: int, name: str) -> dict[str, str]: ...

    async def resolve(self, project_id: int, name: str, channel: str | None = None) -> str:
        """The version a channel points at; without a channel `prod`, `staging`, `dev`, then the latest.

        NotFound with near names for an unknown flow or channel.
        """
        ...

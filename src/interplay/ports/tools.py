"""Tools that flows and agents call: of MCP servers, and functions registered by whoever runs the workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Tool:
    """`name` is `server.tool`, or a bare name. `parameters` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    parameters: dict[str, Any]


class Tools(Protocol):
    """One source of tools. Raises `core.failures.StepFailure` with the code that policies know; nothing else.

    Cancelling the awaiting task ends the call, where the source can end it.
    """

    async def list(self, project_id: int) -> list[Tool]: ...

    async def call(self, project_id: int, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> Any:
        """The tool's result as JSON data. `not_found` for a tool that this source does not have."""
        ...

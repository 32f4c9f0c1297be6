"""Tools that are functions of this process, with schemas given: the twin for tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from interplay.core.failures import StepFailure
from interplay.ports.tools import Tool


class MemoryTools:
    def __init__(self, tools: Mapping[str, tuple[Tool, Callable[..., Awaitable[Any]]]]) -> None:
        self._tools = tools

    async def list(self, project_id: int) -> list[Tool]:  # noqa: ARG002
        return [tool for tool, _ in self._tools.values()]

    async def call(self, project_id: int, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> Any:  # noqa: ARG002
        if name not in self._tools:
            raise StepFailure("not_found", f"There is no tool {name!r}.")
        return await self._tools[name][1](**arguments)

"""Finding a tool among the sources, listing those that an agent may use, and calling one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from interplay.core.errors import near_names
from interplay.core.failures import StepFailure
from interplay.ports.tools import Tool, Tools

_STRANGE: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST: Final = 64  # characters that providers take as the name of a function


class CallTool:
    """`sources` are asked in their order; the first that has the tool calls it."""

    def __init__(self, sources: Sequence[Tools]) -> None:
        self._sources = sources

    async def toolbox(self, project_id: int, patterns: Iterable[str]) -> dict[str, Any]:
        """What an agent may call: `specs` in OpenAI's shape, `names` from a function's name to its tool.

        Raises StepFailure (`not_found`) for a pattern that no tool fits.
        """
        tools = await self._all(project_id)
        chosen: dict[str, Tool] = {}
        for pattern in patterns:
            fitting = [tool for tool in tools if fnmatchcase(tool.name, pattern)]
            if not fitting:
                raise _unknown(pattern, tools)
            chosen |= {tool.name: tool for tool in fitting}
        functions = {_function_name(name): tool for name, tool in chosen.items()}
        specs = [
            {
                "type": "function",
                "function": {"name": name, "description": tool.description, "parameters": tool.parameters},
            }
            for name, tool in functions.items()
        ]
        return {"specs": specs, "names": {name: tool.name for name, tool in functions.items()}}

    async def run(self, project_id: int, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> Any:
        """The tool's result. Raises StepFailure, `not_found` with near names for a tool that is not there."""
        for source in self._sources:
            if any(tool.name == name for tool in await source.list(project_id)):
                return await source.call(project_id, name, arguments, idempotency_key=idempotency_key)
        raise _unknown(name, await self._all(project_id))

    async def _all(self, project_id: int) -> list[Tool]:
        found: dict[str, Tool] = {}
        for source in self._sources:
            for tool in await source.list(project_id):
                found.setdefault(tool.name, tool)
        return list(found.values())


def _function_name(name: str) -> str:
    return _STRANGE.sub("_", name.replace(".", "__"))[:_LONGEST]


def _unknown(name: str, tools: Iterable[Tool]) -> StepFailure:
    known = [tool.name for tool in tools]
    near = near_names(name, known) or known[:5]
    advice = f"There are {', '.join(near)}." if near else "No tool is registered here: see docs/howto/use-tools.md."
    return StepFailure("not_found", f"There is no tool {name!r}.", advice=advice)

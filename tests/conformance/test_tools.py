"""Sources of tools: functions in memory, Python functions by their hints, an MCP server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from interplay.adapters.mcp.tools import McpTools
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.memory.tools import MemoryTools
from interplay.adapters.python_tools.tools import PythonTools
from interplay.core.extensions import ServerCommand
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection
from interplay.ports.tools import Tool, Tools

SERVER = Path(__file__).parents[1] / "services" / "tools" / "clock_server.py"
NUMBERS = {"a": {"type": "integer"}, "b": {"type": "integer"}}


async def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


async def nothing(_project: int) -> Mapping[str, Connection]:
    return {}


async def anywhere(url: str) -> str:
    return url


@pytest.fixture(params=["memory", "python", "mcp"])
async def source(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Tools, str]]:
    """A source, and what its tool `add` is called there."""
    if request.param == "memory":
        schema: dict[str, Any] = {"type": "object", "properties": NUMBERS}
        yield MemoryTools({"add": (Tool("add", "Adds two numbers.", schema), add)}), "add"
    elif request.param == "python":
        yield PythonTools({"add": add}), "add"
    else:
        command = ServerCommand([sys.executable, str(SERVER)])
        made = McpTools({"clock": command}, nothing, MemorySecretStore({}), anywhere)
        yield made, "clock.add"
        await made.close()


class TestTools:
    async def test_a_tool_is_listed_with_what_it_takes(self, source: tuple[Tools, str]) -> None:
        tools, name = source
        (tool,) = [tool for tool in await tools.list(1) if tool.name == name]
        assert tool.description == "Adds two numbers."
        assert {field: spec["type"] for field, spec in tool.parameters["properties"].items()} == {
            "a": "integer", "b": "integer"
        }  # fmt: skip

    async def test_a_call_gives_json_data(self, source: tuple[Tools, str]) -> None:
        tools, name = source
        assert await tools.call(1, name, {"a": 2, "b": 3}, idempotency_key="k") == 5

    async def test_one_that_is_not_there_is_refused(self, source: tuple[Tools, str]) -> None:
        tools, name = source
        with pytest.raises(StepFailure) as failed:
            await tools.call(1, name.replace("add", "subtract"), {}, idempotency_key="k")
        assert failed.value.failure.code in ("not_found", "bad_request")

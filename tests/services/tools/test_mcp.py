"""Tools of real MCP servers: one started by command, one reached by HTTP."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import httpx
import psutil
import pytest

from interplay.adapters.http.guard import EgressGuard
from interplay.adapters.mcp.tools import McpTools
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.core.extensions import ServerCommand
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection

SERVER = str(Path(__file__).with_name("clock_server.py"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, SERVER, "http", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            _answers(f"http://127.0.0.1:{port}/mcp", process)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            process.kill()


def _answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)


def tools_over(connections: Mapping[str, Connection], commands: Mapping[str, ServerCommand], *allow: str) -> McpTools:
    async def of(_project: int) -> Mapping[str, Connection]:
        return connections

    return McpTools(commands, of, MemorySecretStore({}), EgressGuard(allow).address)


@pytest.fixture(params=["stdio", "http"])
async def tools(request: pytest.FixtureRequest, address: str) -> AsyncIterator[McpTools]:
    if request.param == "stdio":
        made = tools_over({}, {"clock": ServerCommand([sys.executable, SERVER])})
    else:
        made = tools_over({"clock": Connection("clock", kind="mcp", base_url=address)}, {}, "127.0.0.0/8")
    yield made
    await made.close()


class TestMcpTools:
    async def test_they_are_listed_with_their_schemas(self, tools: McpTools) -> None:
        by_name = {tool.name: tool for tool in await tools.list(1)}
        assert set(by_name) == {"clock.add", "clock.fail", "clock.leave", "clock.process"}
        assert by_name["clock.add"].description == "Adds two numbers."
        assert set(by_name["clock.add"].parameters["properties"]) == {"a", "b"}

    async def test_a_call_gives_the_result_as_data(self, tools: McpTools) -> None:
        assert await tools.call(1, "clock.add", {"a": 1, "b": 2}, idempotency_key="k") == 3

    async def test_an_error_of_the_tool_says_what_it_was(self, tools: McpTools) -> None:
        with pytest.raises(StepFailure, match="the disk is full") as failed:
            await tools.call(1, "clock.fail", {"why": "the disk is full"}, idempotency_key="k")
        assert failed.value.failure.code == "bad_request"

    async def test_arguments_that_do_not_fit_are_refused(self, tools: McpTools) -> None:
        with pytest.raises(StepFailure) as failed:
            await tools.call(1, "clock.add", {"a": "x"}, idempotency_key="k")
        assert failed.value.failure.code == "bad_request"

    async def test_many_calls_share_one_connection(self, tools: McpTools) -> None:
        calls = [tools.call(1, "clock.add", {"a": i, "b": i}, idempotency_key=str(i)) for i in range(20)]
        assert await asyncio.gather(*calls) == [2 * i for i in range(20)]

    async def test_an_unknown_tool_is_a_refusal(self, tools: McpTools) -> None:
        with pytest.raises(StepFailure):
            await tools.call(1, "clock.nothing", {}, idempotency_key="k")


class TestServersThatGo:
    async def test_a_server_that_ends_in_a_call_is_started_again_for_the_next(self) -> None:
        tools = tools_over({}, {"clock": ServerCommand([sys.executable, SERVER])})
        try:
            first = await tools.call(1, "clock.process", {}, idempotency_key="k")
            with pytest.raises(StepFailure) as failed:
                await tools.call(1, "clock.leave", {}, idempotency_key="k")
            assert failed.value.failure.code == "unavailable"
            assert await tools.call(1, "clock.process", {}, idempotency_key="k") != first
        finally:
            await tools.close()

    async def test_a_command_that_is_not_there_is_told_in_a_sentence(self) -> None:
        tools = tools_over({}, {"clock": ServerCommand(["/nowhere/clock"])})
        with pytest.raises(StepFailure, match="The MCP server clock could not list its tools") as failed:
            await tools.list(1)
        assert failed.value.failure.code == "unavailable"
        await tools.close()

    async def test_a_server_that_is_away_takes_no_other_with_it(self) -> None:
        commands = {"gone": ServerCommand(["/nowhere/x"]), "clock": ServerCommand([sys.executable, SERVER])}
        tools = tools_over({}, commands)
        assert {tool.name.split(".")[0] for tool in await tools.list(1)} == {"clock"}
        await tools.close()

    async def test_a_private_address_is_refused_unless_it_is_allowed(self, address: str) -> None:
        tools = tools_over({"clock": Connection("clock", kind="mcp", base_url=address)}, {})
        with pytest.raises(StepFailure) as failed:
            await tools.call(1, "clock.add", {"a": 1, "b": 1}, idempotency_key="k")
        assert failed.value.failure.code == "egress_refused"
        await tools.close()

    async def test_closing_ends_the_child(self) -> None:
        tools = tools_over({}, {"clock": ServerCommand([sys.executable, SERVER])})
        pid = await tools.call(1, "clock.process", {}, idempotency_key="k")
        await tools.close()
        assert not psutil.pid_exists(pid)

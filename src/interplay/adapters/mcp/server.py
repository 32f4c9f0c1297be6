"""One MCP server: connected at first need by a task of its own, and again when the connection is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from interplay.core.failures import StepFailure
from interplay.ports.tools import Tool

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult, ListToolsResult

START_SECONDS: Final = 30.0
CALL_SECONDS: Final = 300.0
LISTED_SECONDS: Final = 60.0  # how long a list of tools is believed
_MOST_PAGES: Final = 100
Connect = Callable[[], "AbstractAsyncContextManager[Client]"]


class McpServer:
    """`connect` makes a client that was not entered yet. Its context is entered and left by one task only."""

    def __init__(self, name: str, connect: Connect) -> None:
        self.name = name
        self._connect = connect
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._lock = asyncio.Lock()
        self._listed: tuple[float, list[Tool]] | None = None

    async def tools(self) -> list[Tool]:
        if self._listed is not None and time.monotonic() - self._listed[0] < LISTED_SECONDS:
            return self._listed[1]
        found: list[Tool] = []
        cursor: str | None = None
        async with self._speaking("list its tools"):
            for _ in range(_MOST_PAGES):
                page: ListToolsResult = await (await self._entered()).list_tools(cursor=cursor)
                found += [
                    Tool(f"{self.name}.{tool.name}", tool.description or tool.name, dict(tool.input_schema))
                    for tool in page.tools
                ]
                cursor = page.next_cursor
                if cursor is None:
                    break
        self._listed = (time.monotonic(), found)
        return found

    async def call(self, tool: str, arguments: Mapping[str, Any], idempotency_key: str) -> Any:
        """Its structured content where it has some, else its text; an error of the tool is a StepFailure."""
        meta: Any = {"interplay/idempotency-key": idempotency_key}
        async with self._speaking(f"call {tool}"):
            client = await self._entered()
            result = await client.call_tool(tool, dict(arguments), read_timeout_seconds=CALL_SECONDS, meta=meta)
        return _given(f"{self.name}.{tool}", result)

    @contextlib.asynccontextmanager
    async def _speaking(self, what: str) -> AsyncIterator[None]:
        """What goes wrong on the way, in our words; a broken connection is thrown away."""
        try:
            yield
        except StepFailure:
            raise
        except Exception as broken:
            code = _code(broken)
            if code == "unavailable":
                await self.close()
            raise StepFailure(code, f"The MCP server {self.name} could not {what}: {_words(broken)}.") from broken

    async def _entered(self) -> Client:
        async with self._lock:
            if self._client is None or self._task is None or self._task.done():
                await self._start()
            assert self._client is not None
            return self._client

    async def _start(self) -> None:
        self._leave = asyncio.Event()
        entered: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(entered, self._leave))
        try:
            async with asyncio.timeout(START_SECONDS):
                self._client = await asyncio.shield(entered)
        except TimeoutError:
            self._task.cancel()
            detail = f"The MCP server {self.name} did not start within {START_SECONDS:g} s."
            raise StepFailure("timeout", detail) from None

    async def _hold(self, entered: asyncio.Future[Client], leave: asyncio.Event) -> None:
        try:
            async with self._connect() as client:
                if not entered.done():
                    entered.set_result(client)
                await leave.wait()
        except Exception as broken:  # noqa: BLE001 - handed to whoever waits for the connection
            if not entered.done():
                entered.set_exception(broken)
                entered.exception()  # nobody may be waiting any more
        finally:
            if self._leave is leave:
                self._client = None

    async def close(self) -> None:
        """Ends the connection, and a server that was started for it."""
        task, self._task, self._client, self._listed = self._task, None, None, None
        self._leave.set()
        if task is not None and task is not asyncio.current_task():
            await asyncio.wait([task], timeout=5.0)
            task.cancel()


def _given(name: str, result: CallToolResult) -> Any:
    texts = [str(getattr(part, "text", "")) for part in result.content if getattr(part, "type", "") == "text"]
    if result.is_error:
        raise StepFailure("bad_request", f"{name} failed: {' '.join(texts) or 'it gave no reason'}")
    if result.structured_content is not None:
        content = result.structured_content
        return content["result"] if isinstance(content, dict) and set(content) == {"result"} else content
    others = [part.model_dump(mode="json") for part in result.content if getattr(part, "type", "") != "text"]
    if others:
        return {"text": "\n".join(texts), "content": others}
    return "\n".join(texts)


def _code(error: Exception) -> str:
    """A server's own answer of an error is the request's fault; whatever else its transport raises is not."""
    from mcp import MCPError

    text = str(error).lower()
    if "timed out" in text:
        return "timeout"
    return "bad_request" if isinstance(error, MCPError) and "closed" not in text else "unavailable"


def _words(error: BaseException) -> str:
    """The innermost reason of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".rstrip(": .")

"""The tools of all MCP servers: those that whoever runs the workers starts by command, and a project's by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from interplay.adapters.mcp.server import McpServer
from interplay.core.extensions import ServerCommand
from interplay.core.failures import StepFailure
from interplay.core.models.accepting import reference
from interplay.core.models.registry import Connection
from interplay.ports.secret_store import SecretStore
from interplay.ports.tools import Tool

if TYPE_CHECKING:
    from mcp import Client

KIND: Final = "mcp"
_CONNECT: Final = 5.0  # seconds


ConnectionsOf = Callable[[int], Awaitable[Mapping[str, Connection]]]
Guarded = Callable[[str], Awaitable[str]]


class McpTools:
    """`connections` gives a project's connections; those of kind `mcp` are servers reached by HTTP.

    `guarded` raises StepFailure for an address that outgoing calls may not reach.
    """

    def __init__(
        self,
        commands: Mapping[str, ServerCommand],
        connections: ConnectionsOf,
        secrets: SecretStore,
        guarded: Guarded,
    ) -> None:
        self._started = {name: McpServer(name, functools.partial(_by_stdio, made)) for name, made in commands.items()}
        self._connections = connections
        self._secrets = secrets
        self._guarded = guarded
        self._reached: dict[tuple[int, str], tuple[Connection, McpServer]] = {}

    async def list(self, project_id: int) -> list[Tool]:
        """Of every server that answers; one that is away has no tools for now, unless all are."""
        servers = await self._servers(project_id)
        lists = await asyncio.gather(*(server.tools() for server in servers.values()), return_exceptions=True)
        failures = [found for found in lists if isinstance(found, BaseException)]
        if failures and len(failures) == len(lists):
            raise failures[0]
        return [tool for found in lists if not isinstance(found, BaseException) for tool in found]

    async def call(self, project_id: int, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> Any:
        server_name, _, tool = name.partition(".")
        server = (await self._servers(project_id)).get(server_name)
        if server is None:
            raise StepFailure("not_found", f"There is no MCP server {server_name!r}.")
        return await server.call(tool, arguments, idempotency_key)

    async def _servers(self, project_id: int) -> dict[str, McpServer]:
        found: dict[str, McpServer] = dict(self._started)
        for name, connection in (await self._connections(project_id)).items():
            if connection.kind == KIND and name not in found:
                found[name] = await self._by_http(project_id, connection)
        return found

    async def _by_http(self, project_id: int, connection: Connection) -> McpServer:
        key = (project_id, connection.name)
        kept = self._reached.get(key)
        if kept is not None and kept[0] == connection:
            return kept[1]
        if kept is not None:
            await kept[1].close()
        server = McpServer(connection.name, lambda: self._client(project_id, connection))
        self._reached[key] = (connection, server)
        return server

    def _client(self, project_id: int, connection: Connection) -> AbstractAsyncContextManager[Client]:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        @contextlib.asynccontextmanager
        async def made() -> AsyncIterator[Client]:
            url = connection.base_url or ""
            await self._guarded(url)
            given = connection.headers.items()
            headers = {name: await self._revealed(project_id, value) for name, value in given}
            if connection.api_key is not None:
                headers["Authorization"] = f"Bearer {await self._revealed(project_id, connection.api_key)}"
            timeout = httpx2.Timeout(connection.timeout, connect=_CONNECT)
            async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as http:
                transport = streamable_http_client(url, http_client=http)
                async with Client(transport) as client:
                    yield client

        return made()

    async def _revealed(self, project_id: int, value: str) -> str:
        found = reference(value)
        return found[0] + await self._secrets.reveal(project_id, found[1]) if found is not None else value

    async def close(self) -> None:
        servers: Sequence[McpServer] = [*self._started.values(), *(server for _, server in self._reached.values())]
        await asyncio.gather(*(server.close() for server in servers))


def _by_stdio(command: ServerCommand) -> Client:
    from mcp import Client, StdioServerParameters

    program, *arguments = command.command
    return Client(StdioServerParameters(command=program, args=arguments, env=command.env or None, cwd=command.cwd))

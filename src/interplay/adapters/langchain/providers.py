"""The providers of all connections that have a client of their own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from interplay.adapters.langchain.provider import CheckJson, LangChainProvider
from interplay.adapters.langchain.site import Site
from interplay.core.failures import StepFailure
from interplay.core.models.accepting import reference
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.registry import Connection
from interplay.ports.secret_store import SecretStore


class LangChainProviders:
    """Made at first use, kept while the connection and its secrets stay as they are."""

    def __init__(self, secrets: SecretStore, check_json: CheckJson, guarded: Callable[[str], Awaitable[None]]) -> None:
        """`guarded` raises StepFailure for an address that may not be reached."""
        self._secrets = secrets
        self._guarded = guarded
        self._check_json = check_json
        self._kept: dict[tuple[int, str], tuple[Connection, Site, LangChainProvider]] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    async def of(self, project_id: int, connection: Connection) -> LangChainProvider:
        """Raises StepFailure (`unauthorized`, `bad_request`) when it cannot be made."""
        site = await self._site(project_id, connection)
        place = (project_id, connection.name)
        kept = self._kept.get(place)
        if kept is not None and kept[:2] == (connection, site):
            return kept[2]
        provider = LangChainProvider(site, self._check_json)
        self._kept[place] = (connection, site, provider)
        if kept is not None:
            retiring = asyncio.create_task(kept[2].retire())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        return provider

    async def _site(self, project_id: int, connection: Connection) -> Site:
        kind = KINDS[connection.kind]
        key = await self._revealed(project_id, connection.api_key)
        options = {name: await self._revealed(project_id, value) for name, value in connection.options.items()}
        if kind.needs_key and not key and not options.get("vertexai"):
            raise StepFailure(
                "unauthorized",
                f"The connection {connection.name!r} of kind {connection.kind} has no key.",
                advice="Give it api_key: secret://NAME, and that secret to the process that calls.",
            )
        headers = {name: await self._revealed(project_id, value) for name, value in connection.headers.items()}
        site = dataclasses.replace(Site.of(connection, key, options), headers=headers)
        if site.address is None and connection.kind != "bedrock":
            raise StepFailure(
                "bad_request", f"The connection {connection.name!r} of kind {connection.kind} needs a base_url."
            )
        if site.address is not None and not site.address.startswith(("http://", "https://")):
            raise StepFailure(
                "bad_request", f"The connection {connection.name!r} has no usable address: {site.address!r}."
            )
        if connection.base_url is not None:
            await self._guarded(connection.base_url)
        return site

    async def _revealed(self, project_id: int, value: Any) -> Any:
        found = reference(value)
        return found[0] + await self._secrets.reveal(project_id, found[1]) if found is not None else value

    async def close(self) -> None:
        kept, self._kept = list(self._kept.values()), {}
        for _, _, provider in kept:
            await provider.close()
        for retiring in tuple(self._retiring):
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

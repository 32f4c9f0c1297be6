"""What the nouns of the client share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from interplay.client.transport import Transport


class Noun:
    """One noun of the API."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _get(self, path: str, **params: Any) -> Any:
        return await self._transport.request("GET", path, params=params)

    async def _each(self, page: Callable[..., Coroutine[Any, Any, Any]], **filters: Any) -> AsyncIterator[Any]:
        """What is on all pages, one by one; a page is asked for when it is needed."""
        cursor: str | None = None
        while True:
            found = await page(**filters, cursor=cursor)
            for item in found["items"]:
                yield item
            cursor = found["next"]
            if cursor is None:
                return

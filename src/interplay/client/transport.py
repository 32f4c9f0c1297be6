"""Requests to the API, with errors as exceptions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from interplay.client.errors import ApiError, Unreachable

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class Transport:
    def __init__(self, url: str, key: str | None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url + "/api/v1", headers=headers, timeout=_TIMEOUT, trust_env=False
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: dict[str, Any] | None = None,
        key: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The decoded answer. Raises ApiError and Unreachable."""
        headers = {"Idempotency-Key": key} if key else {}
        wanted = {name: value for name, value in (params or {}).items() if value is not None}
        limit = _TIMEOUT if timeout is None else httpx.Timeout(timeout, connect=5.0)
        try:
            response = await self._http.request(method, path, json=body, params=wanted, headers=headers, timeout=limit)
        except httpx.HTTPError as broken:
            raise Unreachable(f"{self.url} does not answer: {type(broken).__name__} {broken}".strip()) from broken
        if response.status_code >= 400:
            raise ApiError(response.status_code, _document(response))
        return response.json() if response.content else None

    async def events(self, path: str, last: int) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events from after `last`; ends when the connection does."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        try:
            async with self._http.stream(
                "GET", path, headers=headers, timeout=httpx.Timeout(45.0, connect=5.0)
            ) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise ApiError(response.status_code, _document(response))
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line[5:])
        except httpx.HTTPError as broken:
            raise Unreachable(f"{self.url} went away: {type(broken).__name__}") from broken


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"detail": f"{response.status_code}: {response.text[:200]}"}

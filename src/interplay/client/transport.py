"""Requests to the API, with errors as exceptions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx

from interplay.client.errors import ApiError, NotAvailable, Unreachable

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


_LOG = logging.getLogger("interplay.client")
_REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
PATIENCE = 20.0  # seconds


class Transport:
    """`patience`: for how many seconds a request that the server cannot answer right now (503) is sent again, at
    the pace that it asks for. Only requests that do the same when they are sent twice are."""

    def __init__(self, url: str, key: str | None, project: str | None = None, patience: float = PATIENCE) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if project is not None:
            headers["Interplay-Project"] = project
        self.url = url.rstrip("/")
        self._patience = patience
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
        repeatable: bool = False,
        patient: bool = True,
    ) -> Any:
        """The decoded answer. `patient` False: a server that cannot answer right now is not asked again. Raises
        ApiError (NotAvailable when patience is over) and Unreachable."""
        headers = {"Idempotency-Key": key} if key else {}
        wanted = {name: value for name, value in (params or {}).items() if value is not None}
        limit = _TIMEOUT if timeout is None else httpx.Timeout(timeout, connect=5.0)
        again = self._patience if patient and (repeatable or method in _REPEATABLE or key is not None) else 0.0
        until = asyncio.get_running_loop().time() + again
        while True:
            try:
                response = await self._http.request(
                    method, path, json=body, params=wanted, headers=headers, timeout=limit
                )
            except httpx.HTTPError as broken:
                raise Unreachable(f"{self.url} does not answer: {type(broken).__name__} {broken}".strip()) from broken
            if response.status_code < 400:
                return response.json() if response.content else None
            await self._wait_out(_error(response), until)

    async def _wait_out(self, error: ApiError, until: float) -> None:
        """Sleeps as long as the server asks for; raises the error when it is another, or the time is over."""
        left = until - asyncio.get_running_loop().time()
        if not isinstance(error, NotAvailable) or left < error.retry_after:
            raise error
        _LOG.warning("%s Trying for another %.0f s.", error.detail, left)
        await asyncio.sleep(error.retry_after)

    async def events(self, path: str, last: int) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events from after `last`; ends when the connection does."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        try:
            async with self._http.stream(
                "GET", path, headers=headers, timeout=httpx.Timeout(45.0, connect=5.0)
            ) as response:
                if response.status_code >= 400:
                    await response.aread()
                    raise _error(response)
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line[5:])
        except httpx.HTTPError as broken:
            raise Unreachable(f"{self.url} went away: {type(broken).__name__}") from broken


def _error(response: httpx.Response) -> ApiError:
    if response.status_code != 503:
        return ApiError(response.status_code, _document(response))
    wish = response.headers.get("Retry-After", "")
    return NotAvailable(_document(response), float(wish) if wish.isdecimal() else 1.0)


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"detail": f"{response.status_code}: {response.text[:200]}"}

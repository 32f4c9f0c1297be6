"""HTTP requests of flows: connected to the address that the guard saw, redirects guarded again, sizes bounded."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from interplay.adapters.http.guard import EgressGuard
from interplay.core.failures import StepFailure
from interplay.core.unreached import how_it_broke
from interplay.ports.http_caller import HttpAnswer, HttpRequest

MOST_BYTES: Final = 16 * 1024 * 1024
MOST_REDIRECTS: Final = 5
DEFAULT_TIMEOUT: Final = 30.0  # seconds, over all redirects
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PUBLIC: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})  # may go on to another host
_OF_A_BODY: Final = frozenset({"content-type", "content-length", "content-encoding", "idempotency-key"})


class EgressHttpCaller:
    """One client for all flows; it follows no redirect by itself and knows no proxy."""

    def __init__(self, allow: tuple[str, ...] = ()) -> None:
        self._guard = EgressGuard(allow)
        self._client: httpx.AsyncClient | None = None

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            limits = httpx.Limits(max_connections=256, max_keepalive_connections=64, keepalive_expiry=15.0)
            self._client = httpx.AsyncClient(timeout=None, limits=limits, trust_env=False)
        return self._client

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def send(self, request: HttpRequest) -> HttpAnswer:
        limit = request.timeout or DEFAULT_TIMEOUT
        try:
            async with asyncio.timeout(limit):
                return await self._follow(request)
        except TimeoutError:
            raise StepFailure("timeout", f"{_host(request.url)} did not answer within {limit:g} s.") from None
        except httpx.LocalProtocolError:
            # the library's words hold the header, which may be a secret
            detail = f"{_host(request.url)}: a header of the request is none that can be sent."
            raise StepFailure("bad_request", detail, advice="Look for line ends in its value.") from None
        except httpx.HTTPError as broken:
            raise StepFailure("unavailable", how_it_broke(broken, _host(request.url))) from broken
        except (httpx.InvalidURL, UnicodeError) as wrong:
            raise StepFailure("bad_request", f"{request.url!r} is no address: {wrong}.") from None

    async def _follow(self, request: HttpRequest) -> HttpAnswer:
        method, url, headers, body = request.method, request.url, dict(request.headers), request.body
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._once(method, url, headers, body, request.enough)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or target is None or not request.follow:
                return answer
            following = urljoin(url, target)
            if urlsplit(following)[:2] != urlsplit(url)[:2]:
                headers = {name: value for name, value in headers.items() if name.lower() in _PUBLIC}
            url = following
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", None
                headers = {name: value for name, value in headers.items() if name.lower() not in _OF_A_BODY}
        raise StepFailure("bad_request", f"{_host(request.url)} redirects more than {MOST_REDIRECTS} times.")

    async def _once(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, enough: int | None
    ) -> HttpAnswer:
        address = await self._guard.address(url)
        original = httpx.URL(url)
        sent = {name: value for name, value in headers.items() if name.lower() != "host"}
        sent["Host"] = original.netloc.decode()
        extensions = {"sni_hostname": original.host} if original.scheme == "https" else {}
        request = self._opened().build_request(
            method, original.copy_with(host=address), headers=sent, content=body, extensions=extensions
        )
        response = await self._opened().send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                size += len(part)
                if enough is not None and size >= enough:
                    parts.append(part[: len(part) - (size - enough)])
                    break
                if size > MOST_BYTES:
                    raise StepFailure(
                        "output_too_large", f"{original.host} answers more than {MOST_BYTES // 1024**2} MiB."
                    )
                parts.append(part)
        finally:
            await response.aclose()
        return HttpAnswer(response.status_code, dict(response.headers), b"".join(parts))


def _host(url: str) -> str:
    return urlsplit(url).hostname or url

"""Who may call: a key, an expected Host, and bodies of a bounded size. Before any route is looked at.

What the key may do is asked by each route (`ScopedRouter`).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fastapi.responses import JSONResponse

from interplay.core.errors import InputTooLarge, Unauthorized
from interplay.core.tenancy.keys import Caller
from interplay.services.api.draining import drain
from interplay.services.api.problems import answer, problem

MOST_BYTES: Final = 16 * 1024 * 1024
# health for supervisors; the description of the API, which holds no data, for whoever opens the printed address
OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
_ASSETS: Final = "/static-offline-docs/"
_SIGNED: Final = "/hooks/"  # whoever calls there signs what it sends
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "testserver"})
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Guard:
    """The outermost layer. `authenticate` raises Unauthorized; the caller that it gives is in the request's state."""

    def __init__(
        self, app: App, authenticate: Callable[[bytes], Caller], loopback_only: bool, most_bytes: int = MOST_BYTES
    ) -> None:
        self._app = app
        self._authenticate = authenticate
        self._loopback_only = loopback_only
        self._most = most_bytes
        self.requests: dict[int, int] = {}
        self.seconds = 0.0

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self._refuse(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        began = time.perf_counter()
        await self._bounded(scope, receive, self._counting(send))
        self.seconds += time.perf_counter() - began

    def _refuse(self, scope: Scope, headers: dict[bytes, bytes]) -> JSONResponse | None:
        path = scope["path"]
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if self._loopback_only and host not in _LOOPBACK:
            detail = f"This server answers for this machine only, not for {host!r}."
            return problem(421, "Misdirected request", detail, advice="Call it by 127.0.0.1 or localhost.")
        if path in OPEN or path.startswith((_ASSETS, _SIGNED)):
            return None
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        try:
            caller = self._authenticate(token.strip() if kind.lower() == b"bearer" else b"")
        except Unauthorized as stranger:
            return answer(stranger)
        scope.setdefault("state", {})["caller"] = caller
        return None

    def _counting(self, send: Any) -> Any:
        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                self.requests[status] = self.requests.get(status, 0) + 1
            await send(message)

        return counted

    async def _bounded(self, scope: Scope, receive: Any, send: Any) -> None:
        """Stops reading a body as soon as it is over the limit."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most:
            await drain(receive, dict(scope["headers"]))
            await answer(self._too_large())(scope, receive, send)
            return
        seen, begun = 0, False

        async def bounded() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise self._too_large()
            return message

        async def noting(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, bounded, noting)
        except InputTooLarge as large:
            if begun:
                raise
            await drain(receive, dict(scope["headers"]))
            await answer(large)(scope, receive, send)

    def _too_large(self) -> InputTooLarge:
        return InputTooLarge(
            f"The body is over the limit of {self._most // 1024**2} MiB.", advice="Send less, or send rows in batches."
        )

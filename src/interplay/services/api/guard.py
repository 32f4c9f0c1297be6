"""Who may call: a bearer token, an expected Host, and bodies of a bounded size. Before any route is looked at."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fastapi.responses import JSONResponse

from interplay.core.errors import InputTooLarge
from interplay.services.api.problems import answer, problem

MOST_BYTES: Final = 16 * 1024 * 1024
OPEN: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]", "testserver"})
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]


class Guard:
    """The outermost layer. `token` None leaves the API open (tests of one route only)."""

    def __init__(self, app: App, token: str | None, loopback_only: bool, most_bytes: int = MOST_BYTES) -> None:
        self._app = app
        self._token = token.encode() if token is not None else None
        self._loopback_only = loopback_only
        self._most = most_bytes
        self.requests: dict[int, int] = {}
        self.seconds = 0.0

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self._refuse(scope["path"], headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        began = time.perf_counter()
        await self._bounded(scope, receive, self._counting(send))
        self.seconds += time.perf_counter() - began

    def _refuse(self, path: str, headers: dict[bytes, bytes]) -> JSONResponse | None:
        host = headers.get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if self._loopback_only and host not in _LOOPBACK:
            detail = f"This server answers for this machine only, not for {host!r}."
            return problem(421, "Misdirected request", detail, advice="Call it by 127.0.0.1 or localhost.")
        if path in OPEN or self._token is None:
            return None
        given = headers.get(b"authorization", b"")
        if hmac.compare_digest(given, b"Bearer " + self._token):
            return None
        return problem(
            401,
            "Not signed in",
            "This API needs a key." if not given else "This key is not valid here.",
            where="Authorization",
            advice="Send `Authorization: Bearer <key>`; `interplay up` prints where the key of this machine is.",
        )

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
            await answer(large)(scope, receive, send)

    def _too_large(self) -> InputTooLarge:
        return InputTooLarge(
            f"The body is over the limit of {self._most // 1024**2} MiB.", advice="Send less, or send rows in batches."
        )

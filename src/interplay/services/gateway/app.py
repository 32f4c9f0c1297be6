"""The outermost layer: `/v1/` and `/v2/` go to plain ASGI endpoints, everything else to whatever stands behind.

Not mounted in a framework: a mount, or a route of it, costs more than half of the throughput.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import InterplayError, NotFound
from interplay.core.tenancy.keys import Caller, may_call
from interplay.services.gateway.answers import Pair, Stages
from interplay.services.gateway.asgi import MOST_BYTES, Receive, Scope, Send, answer, forward, read_body, too_large
from interplay.services.gateway.counting import PATH as COUNT
from interplay.services.gateway.counting import count_tokens
from interplay.services.gateway.errors import nothing_there, refused
from interplay.services.gateway.inference import Inference
from interplay.services.gateway.translating import DIALECTS, MESSAGES, said_in, translate
from interplay.use_cases.forward_parts import Endpoint, ForwardParts, Incoming

_ENCODE: Final = msgspec.json.Encoder().encode
_BEARER: Final = b"bearer "
_TWO_KEYS: Final = b"two keys"  # nobody's: whose of two a request is must not depend on who reads it
EARLY: Final = 65_536  # bytes: a longer body is read only from who has a key
ENDPOINTS: Final = {
    "/v1/chat/completions": Endpoint("chat", "chat/completions", "POST /v1/chat/completions"),
    "/v1/embeddings": Endpoint("embed", "embeddings", "POST /v1/embeddings"),
    "/v1/rerank": Endpoint("rerank", "rerank", "POST /v1/rerank"),
}


class Gateway:
    """An ASGI application. `rest` answers what is not of the model plane; it is asked for the lifespan too."""

    def __init__(self, parts: ForwardParts, rest: Any) -> None:
        self.parts = parts
        self._rest = rest
        self._inference = Inference(parts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        path: str = scope["path"]
        endpoint = ENDPOINTS.get(path)
        if endpoint is not None and scope["method"] == "POST":
            await self._call(endpoint, scope, receive, send)
        elif path in DIALECTS and scope["method"] == "POST":
            await translate(self.parts, DIALECTS[path], scope, receive, send, token_of(scope))
        elif path == COUNT and scope["method"] == "POST":
            await count_tokens(self.parts, scope, receive, send, token_of(scope))
        elif path == "/v2" or path.startswith("/v2/"):
            await self._inference(scope, receive, send, token_of(scope))
        elif path.startswith("/v1/"):
            await self._other(path, scope, send)
        else:
            await self._rest(scope, receive, send)

    async def _call(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        token, length, named = b"", 0, scope["headers"]
        for name, value in named:
            if name == b"authorization":
                token = also(token, value)
            elif name == b"content-length":
                length = int(value) if value.isdigit() else 0
            elif name == b"transfer-encoding":
                length = max(length, EARLY)
        try:
            if length >= EARLY:
                self.parts.admit.authenticate(token)
                if length > MOST_BYTES:
                    raise too_large(MOST_BYTES)
            body = await read_body(receive)
        except InterplayError as wrong:
            await answer(send, *refused(wrong))
            return
        except ConnectionError:
            return
        await forward(self.parts, Incoming(endpoint, body, token, named), receive, send)

    async def _other(self, path: str, scope: Scope, send: Send) -> None:
        if scope["method"] == "GET" and path.startswith("/v1/models"):
            await self._listed(path.removeprefix("/v1/models").strip("/"), token_of(scope), send)
            return
        places = (*ENDPOINTS, *DIALECTS, COUNT)
        known = ", ".join([*(f"POST {place}" for place in places), "GET /v1/models"])
        allowed = "POST" if path in places else "GET" if path.startswith("/v1/models") else None
        status, body, headers = nothing_there(scope["method"], path, allowed, known)
        if path in (COUNT, "/v1/messages"):
            body = said_in(MESSAGES, status, body)
        await answer(send, status, body, headers)

    async def _listed(self, only: str, token: bytes, send: Send) -> None:
        stages = Stages(self.parts.clock.monotonic)
        try:
            with stages.stage(b"auth"):
                caller = self.parts.admit.authenticate(token)
            status, body, headers = 200, _ENCODE(await self._models(caller, only)), list[Pair]()
        except InterplayError as wrong:
            status, body, headers = refused(wrong)
        await answer(send, status, body, [*headers, stages.timing()])

    async def _models(self, caller: Caller, only: str) -> dict[str, Any]:
        """What this key may call. Raises NotFound."""
        entries = {
            alias: {
                "id": alias,
                "object": "model",
                "created": 0,
                "owned_by": "interplay",
                "task": model.model.task,
                "about": model.model.about,
            }
            for (project, alias), model in sorted(self.parts.snapshot().models.items())
            if project == caller.project_id and may_call(caller.key, alias)
        }
        flows = {} if self.parts.flows is None else await self.parts.flows.names(caller)
        entries |= {
            name: {"id": name, "object": "model", "created": 0, "owned_by": "interplay", "task": "chat", "about": about}
            for name, about in flows.items()
        }
        if not only:
            return {"object": "list", "data": list(entries.values())}
        if only not in entries:
            raise NotFound.named("model", only, entries)
        return entries[only]


def token_of(scope: Scope) -> bytes:
    token = b""
    for name, value in scope["headers"]:
        if name == b"authorization":
            token = also(token, value)
    return token


def also(token: bytes, value: bytes) -> bytes:
    """The token of one more Authorization header, which stands alone as a rule."""
    another = bearer(value)
    return _TWO_KEYS if token and another else token or another


def bearer(value: bytes) -> bytes:
    """The token of an Authorization header; empty for another scheme."""
    return value[7:].strip() if value[:7].lower() == _BEARER else b""

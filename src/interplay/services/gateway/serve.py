"""The gateway as a process of its own: models only, no runs."""

from __future__ import annotations

import logging

import msgspec

from interplay.bootstrap import database_of, open_platform
from interplay.bootstrap_gateway import open_gateway
from interplay.core.errors import NotFound
from interplay.services.gateway.app import Gateway
from interplay.services.gateway.asgi import Receive, Scope, Send, answer
from interplay.services.gateway.errors import refused
from interplay.services.gateway.metrics import lines
from interplay.services.gateway.protocol import protocol_of
from interplay.settings import Settings
from interplay.use_cases.forward_parts import ForwardParts
from interplay.web_server import Serving, serve_until_asked

_LOG = logging.getLogger("interplay.gateway")


class Operations:
    """What operators ask of a gateway: whether it lives, whether it is ready, what it counted."""

    def __init__(self, parts: ForwardParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/healthz":
            await answer(send, 200, b'{"status":"live"}', [])
        elif path == "/readyz":
            version = self._parts.snapshot().version
            said = {"status": "ready" if version else "not ready", "snapshot": version}
            await answer(send, 200 if version else 503, msgspec.json.encode(said), [])
        elif path == "/metrics":
            text = "\n".join(lines(self._parts)) + "\n"
            await answer(send, 200, text.encode(), [(b"content-type", b"text/plain; version=0.0.4")])
        else:
            wrong = NotFound(f"There is nothing at {path}.", advice="This process serves models, at /v1/.")
            await answer(send, *refused(wrong))


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls under way end."""
    async with (
        database_of(settings) as url,
        open_platform(settings, url, alone=False, patience=60.0) as platform,
        open_gateway(platform) as parts,
    ):
        if not platform.tenancy.snapshots.current.keys:
            _LOG.warning("there is no key yet: every call is refused until `interplay keys create` makes one")
        protocol = protocol_of(parts) if settings.gateway_face == "protocol" else None
        serving = Serving(Gateway(parts, Operations(parts)), drain=settings.drain_seconds, protocol=protocol)
        await serve_until_asked(serving, settings.host, settings.port)

"""How our services answer HTTP: the port taken first, in one sentence when it cannot be; drained when asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import uvicorn

from interplay.core.errors import SetupError

_LOG = logging.getLogger("interplay.web")


class WebServer(uvicorn.Server):
    """Leaves signals to whoever runs it: uvicorn would raise them again after it has stopped in good order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served, and how. `drain`: seconds that requests in hand get to end when the server is asked to stop;
    `protocol`: a class of our own in the place of uvicorn's HTTP."""

    app: Any
    lifespan: Literal["on", "off"] = "off"
    drain: float = 5.0
    protocol: type[asyncio.Protocol] | None = None


def web_server(serving: Serving) -> WebServer:
    config = uvicorn.Config(
        serving.app,
        http=serving.protocol or "auto",
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan=serving.lifespan,
        timeout_graceful_shutdown=math.ceil(serving.drain),
        timeout_keep_alive=75,
    )
    return WebServer(config)


async def serve_until_asked(serving: Serving, host: str, port: int) -> None:
    """Serves until SIGTERM or SIGINT, then ends what is in hand and returns."""
    server = web_server(serving)

    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    with contextlib.closing(listen(host, port)) as listener:
        address = listener.getsockname()
        _LOG.info("ready: listens", extra={"address": f"http://{address[0]}:{address[1]}"})
        await server.serve([listener])


def listen(host: str, port: int) -> socket.socket:
    """Takes the port before anything else is started. Raises SetupError in one sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with its protocol said: asyncio sets TCP_NODELAY only where it is
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as taken:
        listener.close()
        raise SetupError(
            f"Port {port} on {host} cannot be used: {taken.strerror}.",
            where="INTERPLAY_PORT",
            advice="Choose another with --port, or 0 for any free one.",
        ) from None
    return listener

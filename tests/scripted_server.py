"""What servers that play a script share: a port and a thread of their own, and a whole answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


@contextmanager
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@contextmanager
def serving(application: Any, listener: socket.socket) -> Iterator[None]:
    """Runs in a thread of its own; gone at the end."""
    config = uvicorn.Config(
        application, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server._serve([listener])), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


async def answer(send: Any, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    all_headers = {"content-type": "application/json", **(headers or {})}
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in all_headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})

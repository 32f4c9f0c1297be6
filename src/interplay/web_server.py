"""How our services answer HTTP: the port taken first, in one sentence when it cannot be; drained when asked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from interplay.core.errors import SetupError

_LOG = logging.getLogger("interplay.web")


class WebServer(uvicorn.Server):
    """Leaves signals to whoever runs it: uvicorn would raise them again after it has stopped in good order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's HTTP with an end to what strangers may send: a request's address and header lines are at most
    `most_head` bytes (and what one read brings), and whole within `head_seconds`: 431 and 408. Who takes nothing of
    an answer for `stall_seconds` is left."""

    most_head: ClassVar[int] = 65_536
    head_seconds: ClassVar[float] = 30.0
    stall_seconds: ClassVar[float] = 60.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_since: float | None = None  # while one is under way
        self._head_size = 0
        self._refused = False
        self._watch: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self.loop.time()
        self._watch = self.loop.call_later(self.head_seconds, self._look_at_head)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._watch, self._stalled):
            if timer is not None:
                timer.cancel()
        self._watch = self._stalled = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_whether_taken(self.transport.get_write_buffer_size() + 1)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _look_whether_taken(self, before: int) -> None:
        self._stalled = None
        left = self.transport.get_write_buffer_size()
        if left >= before:
            self.transport.abort()
        elif left:
            self._stalled = self.loop.call_later(self.stall_seconds, self._look_whether_taken, left)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        since = self._head_since
        super().data_received(data)
        if since is not None and self._head_since is since:  # it was under way before, and still is
            self._head_size += len(data)
            if self._head_size > self.most_head:
                self._refuse_head(_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.head_begins()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_since is not None:  # a line behind the body is none of the head: it must not say who asks
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_since = None
        super().on_headers_complete()

    def head_begins(self) -> None:
        self._head_since = self.loop.time()
        self._head_size = 0

    def _look_at_head(self) -> None:
        self._watch = None
        if self.transport.is_closing() or self._refused:
            return
        left = self.head_seconds
        if self._head_since is not None:
            left = self._head_since + self.head_seconds - self.loop.time()
            if left <= 0:
                self._refuse_head(_TOO_SLOW)
                return
        self._watch = self.loop.call_later(left, self._look_at_head)

    def _refuse_head(self, answer: bytes) -> None:
        """What still comes is not looked at; it is read a while, or a closed connection would take the answer along."""
        self._refused = True
        if self.answering:
            self.transport.close()
            return
        self.transport.write(answer)
        self.loop.call_later(_LINGER, self.transport.close)

    @property
    def answering(self) -> bool:
        """Whether an earlier request of this connection still waits for its answer."""
        return self.cycle is not None and not self.cycle.response_complete


_LINGER: Final = 2.0  # seconds


def _plain(status: str, words: str) -> bytes:
    body = f'{{"error":{{"message":"{words}","type":"invalid_request_error","param":null,"code":null}}}}'
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"connection: close\r\n\r\n{body}"
    ).encode()


_TOO_LARGE: Final = _plain(
    "431 Request Header Fields Too Large",
    f"The address and the header lines of a request may have {BoundedHttp.most_head:,} bytes.",
)
_TOO_SLOW: Final = _plain("408 Request Timeout", f"A request's head must be whole in {BoundedHttp.head_seconds:g} s.")


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served, and how. `drain`: seconds that requests in hand get to end when the server is asked to stop;
    `protocol`: what makes a connection of our own, in the place of uvicorn's HTTP."""

    app: Any
    lifespan: Literal["on", "off"] = "off"
    drain: float = 5.0
    protocol: Callable[..., asyncio.Protocol] | None = None


def web_server(serving: Serving) -> WebServer:
    config = uvicorn.Config(
        serving.app,
        http=serving.protocol or BoundedHttp,  # type: ignore[arg-type]
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

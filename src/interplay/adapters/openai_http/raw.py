"""One keep-alive connection to a model server: HTTP/1.1 by callbacks, one request at a time."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol, cast

import httptools

from interplay.core.failures import Failure
from interplay.ports.upstream import AnswerHead, Listener

_JOIN: Final = 32_768  # bytes: a shorter body is copied behind its head, so that both go in one segment
_QUICKACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_IDLE: Final = 15.0  # seconds an unused connection is kept, where the server does not say less
_MARGIN: Final = 1.0  # seconds before the server's own end of an unused connection


class Owner(Protocol):
    """The pool, as far as a connection knows it."""

    def later(self, connection: RawConnection) -> None:
        """Call its `write` at the end of this turn of the loop."""

    def freed(self, connection: RawConnection) -> None:
        """It may carry another request."""

    def broken(self, connection: RawConnection, failure: Failure | None) -> None:
        """It is gone. `failure`: what its request met; None when it carried none, or an answer that is whole."""


class RawConnection(asyncio.Protocol, AnswerHead):
    """The parser's callbacks only take notes; what they mean is decided when the read has been parsed."""

    __slots__ = (
        "_framed",
        "_keep",
        "_out",
        "_owner",
        "_parser",
        "_pieces",
        "_socket",
        "_transport",
        "answered",
        "complete",
        "dead",
        "deadline",
        "heard",
        "idle_for",
        "lane",
        "listener",
        "paused",
        "touched",
        "who",
    )  # fmt: skip

    def __init__(self, owner: Owner, lane: str, who: str) -> None:
        AnswerHead.__init__(self)
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._out: bytes | None = None
        self._framed = self._keep = False
        self.lane = lane
        self.who = who
        self.listener: Listener | None = None
        self._pieces: list[bytes] = []
        self.dead = self.answered = self.touched = self.heard = self.paused = self.complete = False
        self.deadline = 0.0
        self.idle_for = _IDLE

    # the pool's side

    def send(self, head: bytes, body: bytes, listener: Listener) -> None:
        """`head` is whole, its empty line included. A short request is written at the end of this turn of the loop,
        behind those of other connections: their servers wake once, not for each."""
        assert self._transport is not None
        self.status = 0
        self.content_type = b""
        self.retry_after = None
        self.answered = self.touched = self.heard = self.paused = self.complete = self._framed = self._keep = False
        self.listener = listener
        if len(body) < _JOIN:
            self._out = head + body
            self._owner.later(self)
        else:
            self._transport.writelines((head, body))

    def write(self) -> None:
        """What was to be written later."""
        out, self._out = self._out, None
        if out is not None and self._transport is not None:
            self._transport.write(out)

    def usable(self) -> bool:
        transport = self._transport
        return not self.dead and transport is not None and not transport.is_closing()

    def abort(self) -> None:
        self.listener = self._out = None
        self.dead = True
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        self.dead = True
        if self._transport is not None:
            self._transport.close()

    def fail(self, failure: Failure) -> None:
        """Ends the request for a reason of ours: a time that is over, an answer that is none."""
        if self.listener is not None:
            self.abort()
            self._owner.broken(self, failure)

    def pause(self) -> None:
        if not self.paused and self.usable():
            assert self._transport is not None
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            if self.usable():
                assert self._transport is not None
                self._transport.resume_reading()

    # the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._socket = transport.get_extra_info("socket") if _QUICKACK is not None else None

    def data_received(self, data: bytes) -> None:
        if self.listener is None:  # bytes that nobody asked for: whatever follows cannot be trusted
            self.abort()
            self._owner.broken(self, None)
            return
        self.heard = self.touched = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._pieces = []
            self.fail(Failure("unavailable", f"{self.who} answered something that is no HTTP."))
            return
        pieces = self._pieces
        if pieces:  # what came in one read is passed on in one piece: each would be a write of its own
            self._pieces = []
            if self.listener is not None:
                self.listener.data(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self.complete:
            self._finish()
        elif self._socket is not None and self.answered:
            # a server with Nagle's algorithm waits for our acknowledgement between two events; the kernel
            # forgets the wish after each read
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)  # type: ignore[arg-type]

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.dead = True
        self._out = None
        if self.listener is None:
            self._owner.broken(self, None)
        elif self.answered and not self._framed and exc is None:
            self.complete, self._keep = True, False  # a body without a length ends with its connection
            self._finish()
        else:
            self.listener = None
            when = "in the middle of its answer" if self.answered else "before it answered"
            self._owner.broken(self, Failure("unavailable", f"{self.who} closed the connection {when}."))

    # the parser's side

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)
        if length == 12:
            if name.lower() == b"content-type":
                self.content_type = value
        elif length == 14 or length == 17:
            if name.lower() in (b"content-length", b"transfer-encoding"):
                self._framed = True
        elif length == 11:
            if name.lower() == b"retry-after":
                self.retry_after = value
        elif length == 10 and name.lower() == b"keep-alive":
            self.idle_for = _kept_for(value)

    def on_headers_complete(self) -> None:
        if self.complete:  # a second answer to one request
            self.dead = True
            return
        status = self._parser.get_status_code()
        self.status = status
        if status < 200:
            return
        self.answered = True
        self._keep = self._parser.should_keep_alive()
        if self.listener is not None:
            self.listener.head(self)

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        if self.status >= 200:
            self.complete = True

    def _finish(self) -> None:
        listener, self.listener = self.listener, None
        transport = self._transport
        # an answer before our whole request was out leaves the rest of it in the way of the next one
        unsent = self._out is not None or transport is None or transport.get_write_buffer_size()
        if self._keep and not self.dead and not unsent:
            if self.paused:
                self.resume()
            self._owner.freed(self)
        else:
            self.close()
            self._owner.broken(self, None)
        if listener is not None:
            listener.done()


def _kept_for(value: bytes) -> float:
    """`timeout=5, max=100`: a little less than the server keeps it."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.lower() == b"timeout" and number.isdigit():
            return max(0.0, min(_IDLE, int(number) - _MARGIN))
    return _IDLE

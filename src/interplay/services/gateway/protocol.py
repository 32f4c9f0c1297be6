"""The fast face: an HTTP protocol class for uvicorn that answers calls of models by callbacks.

No scope, no task, no future: a request's last byte begins the call, and the call writes to the transport. Every
other request takes uvicorn's own way to the application. It leans on the inside of the uvicorn that the lock pins;
`tests/services/gateway` runs the same contract on both faces.
"""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from typing import Any, ClassVar, Final

from interplay.core.errors import InterplayError
from interplay.core.failures import Failure
from interplay.services.gateway.answers import Pair, lines, request_id, timing
from interplay.services.gateway.app import EARLY, ENDPOINTS, also
from interplay.services.gateway.asgi import MOST_BYTES, too_large
from interplay.services.gateway.errors import broken, refused, status_of
from interplay.services.gateway.heads import KnownHead, known_head
from interplay.use_cases.forward_call import Call
from interplay.use_cases.forward_parts import Endpoint, Face, ForwardParts, Incoming
from interplay.web_server import BoundedHttp

_PLACES: Final = {path.encode(): endpoint for path, endpoint in ENDPOINTS.items()}
_LINES: Final = {status.value: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_WHOLE: Final = b"%scontent-type: %s\r\ncontent-length: %d\r\nx-request-id: %s\r\nserver-timing: %s\r\n%s\r\n%s"
_STREAM: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\nx-request-id: %s\r\nserver-timing: %s\r\n"
    b"%s\r\n"
)
_LINGER: Final = 5.0  # seconds
_TRIES: Final = 4  # heads in a row that were no use; a caller whose heads all differ is not looked at again
_CLOSE: Final = b"connection: close\r\n"
_LAST: Final = b"0\r\n\r\n"


class GatewayProtocol(BoundedHttp, Face):
    """One connection of a caller. `parts` is set by `protocol_of`."""

    parts: ClassVar[ForwardParts]
    unwritten: ClassVar[list[GatewayProtocol]]  # those with something to write at the end of this turn of the loop

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._endpoint: Endpoint | None = None
        self._decided = False
        self._call: Call | None = None
        self._keep = True
        self._token = b""
        self._named: list[Pair] = []
        self._body: list[bytes] = []
        self._size = 0
        self._skips = False
        self._waiting: deque[tuple[Incoming, bool]] = deque()
        self._out: list[bytes] = []
        self._idle_since = 0.0
        self._head: KnownHead | None = None
        self._tries = _TRIES
        self._chunk: bytes | None = None  # what is parsed now, while it holds one request from its first byte on
        self._between = True  # the parser has seen whole requests only

    # what the transport brings

    def data_received(self, data: bytes) -> None:
        if self._out:
            self._flush()  # in its order, whoever writes next
        head = self._head
        if head is not None and self._between and self._call is None and not self._skips:
            body = head.body(data)
            if body is not None and (self.cycle is None or self.cycle.response_complete):
                self._tries = _TRIES
                self._keep = True
                self._begin(Incoming(head.endpoint, body, head.token, head.named))
                return
        self._chunk = data if self._between and self._tries else None
        super().data_received(data)
        self._chunk = None

    def _learn(self, data: bytes, endpoint: Endpoint, body: bytes) -> None:
        self._chunk = None
        self._tries -= 1
        self._head = known_head(data, len(body), endpoint, self._token, self._named)

    # what the parser says

    def on_message_begin(self) -> None:
        if not self._between:
            self._chunk = None
        self._between = False
        self.head_begins()
        self.url = b""
        self._decided = self._skips  # once turned away, nothing more is looked at
        self._endpoint = None

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._decided:
            self._decide()
        if self._endpoint is None:
            if not self._skips:
                super().on_header(name, value)
            return
        if self._head_since is None:
            return  # a line behind the body
        self._named.append((name, value))
        length = len(name)
        if length == 13:
            if name.lower() == b"authorization":
                self._token = also(self._token, value)
        elif length == 14:
            if name.lower() == b"content-length" and len(value) > 4 and value.isdigit():
                self._size = int(value)
        elif length == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif length == 17 and name.lower() == b"transfer-encoding":
            self._size = EARLY

    def on_headers_complete(self) -> None:
        self._head_since = None
        if not self._decided:
            self._decide()
        if self._endpoint is None:
            if not self._skips:
                super().on_headers_complete()
            return
        # who offers another protocol is answered in this one, and the parser ends with it
        self._keep = self.parser.should_keep_alive() and not self.parser.should_upgrade()
        if self._size >= EARLY:
            self._refuse_early()
        self._size = 0

    def on_body(self, body: bytes) -> None:
        if self._endpoint is None:
            if not self._skips:
                super().on_body(body)
            return
        self._size += len(body)
        if self._size > MOST_BYTES:
            self._turn_away(too_large(MOST_BYTES))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._between = True
        endpoint = self._endpoint
        if endpoint is None:
            if not self._skips:
                super().on_message_complete()
            elif self._call is None:
                self.transport.close()
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._chunk is not None and self._keep:
            self._learn(self._chunk, endpoint, body)
        incoming = Incoming(endpoint, body, self._token, self._named)
        if self._call is None:
            self._begin(incoming)
        else:
            self._waiting.append((incoming, self._keep))  # sent without waiting for the answer before it
            self.flow.pause_reading()

    def _decide(self) -> None:
        self._decided = True
        endpoint = _PLACES.get(self.url)
        idle = self.cycle is None or self.cycle.response_complete
        if endpoint is not None and idle and self.parser.get_method() == b"POST" and self._new_enough():
            self._endpoint = endpoint
            self.headers = []  # what uvicorn looks for an upgrade in
            self._token = b""
            self._named = []
            self._body = []
            self._size = 0
        elif self._call is not None:
            self._turn_away(None)  # it would overtake the answer that is under way: whoever sent it asks again
        else:
            url = self.url
            super().on_message_begin()
            self.url = url

    def _new_enough(self) -> bool:
        return bool(self.parser.get_http_version() == "1.1")

    def _refuse_early(self) -> None:
        """A long body is read only from who has a key, and only as long as it may be."""
        try:
            self.parts.admit.authenticate(self._token)
        except InterplayError as wrong:
            self._turn_away(wrong)
            return
        if self._size > MOST_BYTES:
            self._turn_away(too_large(MOST_BYTES))

    def _turn_away(self, wrong: InterplayError | None) -> None:
        """Nothing more is looked at on this connection; without a call under way it is answered and closed.

        What still comes is read a while all the same: a connection closed before would take the answer with it.
        """
        self._endpoint = None
        self._skips = True
        self._keep = False
        if self._call is None and wrong is not None:
            status, body, headers = refused(wrong)
            self._out.append(_simple(status, body, [*headers, (b"connection", b"close")]))
            self._flush()
            self.loop.call_later(_LINGER, self.transport.close)

    # one call

    def _begin(self, incoming: Incoming) -> None:
        if self.leaving:
            self._keep = False
        self._call = call = Call(self.parts, incoming, self)
        call.begin()

    def whole(self, call: Call, status: int, content_type: bytes, body: bytes) -> None:
        more = lines(call)
        if not self._keep:
            more += _CLOSE
        self._write(call, status, content_type or b"application/json", more, body)

    def refuse(self, call: Call, wrong: InterplayError | Failure) -> None:
        status, body, headers = refused(wrong)
        more = b"".join(b"%s: %s\r\n" % pair for pair in headers) + lines(call)
        self._write(call, status, b"application/json", more if self._keep else more + _CLOSE, body)

    def _write(self, call: Call, status: int, content_type: bytes, more: bytes, body: bytes) -> None:
        line = _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
        fields = (line, content_type, len(body), request_id(call), timing(call), more, body)
        self._put(_WHOLE % fields)
        self._ended()

    def begin(self, call: Call) -> None:
        more = lines(call)
        self._put(_STREAM % (request_id(call), timing(call), more if self._keep else more + _CLOSE))
        if self.flow.write_paused:
            call.pause()

    def data(self, data: bytes) -> None:
        self._put(b"%x\r\n%s\r\n" % (len(data), data))

    def broke(self, wrong: InterplayError | Failure) -> None:
        self.data(broken(wrong))
        self.end()

    def _put(self, data: bytes) -> None:
        """Written at the end of this turn of the loop. The end of a stream often comes in the same one; and writes
        of many connections one behind the other wake their readers once, not each time: a tenth of a call's price."""
        if not self._out:
            if not self.unwritten:
                self.loop.call_soon(self._flush_all)
            self.unwritten.append(self)
        self._out.append(data)

    def end(self) -> None:
        self._out.append(_LAST)
        self._flush()
        self._ended()

    def _flush_all(self) -> None:
        them = self.unwritten[:]
        self.unwritten.clear()
        for one in them:
            one._flush()

    def _flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def status_of(self, wrong: InterplayError | Failure) -> int:
        return status_of(wrong)

    def _ended(self) -> None:
        self._call = None
        if not self._keep and not self._waiting:
            self._flush()
            self.transport.close()
            return
        self.on_response_complete()
        if self._waiting and not self.transport.is_closing():
            incoming, self._keep = self._waiting.popleft()
            self._begin(incoming)

    @property
    def answering(self) -> bool:
        return self._call is not None or super().answering

    # what the transport says

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._call is not None:
            self._call.pause()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._call is not None:
            self._call.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        call, self._call = self._call, None
        self._waiting.clear()
        self._out = []
        if call is not None:
            call.gone()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server drains: what is under way is answered first."""
        if self._call is None:
            super().shutdown()
        else:
            self._keep = False
            self._waiting.clear()

    @property
    def busy(self) -> bool:
        return not self._between or super().busy

    # an unused connection is closed after a while: one timer a connection, not one a request

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_again(self.timeout_keep_alive)

    def _look_again(self, after: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(after, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        busy = self._call is not None or (self.cycle is not None and not self.cycle.response_complete)
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if busy or left > 0:
            self._look_again(self.timeout_keep_alive if busy else left)
        else:
            self.transport.close()

    def _unset_keepalive_if_required(self) -> None:
        """Each read would: the timer looks by itself whether there was one."""


def _simple(status: int, body: bytes, headers: list[Pair]) -> bytes:
    lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
    head = _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    return b"%scontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n%s" % (head, len(body), lines, body)


def protocol_of(parts: ForwardParts) -> type[GatewayProtocol]:
    """The class that uvicorn is given, for one gateway."""
    return type("GatewayProtocolOf", (GatewayProtocol,), {"parts": parts, "unwritten": []})

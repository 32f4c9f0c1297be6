"""The plain ASGI face of a call: what the call says is queued, and sent by the request's own coroutine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from interplay.core.errors import InputTooLarge, InterplayError
from interplay.core.failures import Failure
from interplay.services.gateway.answers import Pair, notes
from interplay.services.gateway.errors import broken, refused, status_of
from interplay.use_cases.forward_call import Call
from interplay.use_cases.forward_parts import Face, ForwardParts, Incoming

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

MOST_BYTES: Final = 32 * 1024 * 1024
_HIGH: Final = 131_072  # bytes of a stream that may wait for a slow caller
_WATCH_AFTER: Final = 0.02  # seconds: most answers are there before anybody could leave
_JSON: Final = b"application/json"
_EVENTS: Final[list[Pair]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class AsgiFace(Face):
    """`run` sends until the end. Sends wait where the caller is slow; what comes meanwhile is held, and bounded."""

    __slots__ = ("_call", "_ended", "_head", "_items", "_loop", "_paused", "_size", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._call: Call | None = None
        self._head: tuple[int, list[Pair]] | None = None
        self._items: list[bytes] = []
        self._size = 0
        self._ended = self._paused = False
        self._waiter: asyncio.Future[None] | None = None

    # what the call says

    def whole(self, call: Call, status: int, content_type: bytes, body: bytes) -> None:
        self._answer(call, status, content_type or _JSON, body, [])

    def refuse(self, call: Call, wrong: InterplayError | Failure) -> None:
        status, body, headers = self.refused(wrong)
        self._answer(call, status, _JSON, body, headers)

    def refused(self, wrong: InterplayError | Failure) -> tuple[int, bytes, list[Pair]]:
        """Status, body and headers of an error, in this face's own shape."""
        return refused(wrong)

    def begin(self, call: Call) -> None:
        self._call = call
        self._head = (200, [*_EVENTS, *notes(call)])
        self._wake()

    def data(self, data: bytes) -> None:
        self._items.append(data)
        self._size += len(data)
        if self._size > _HIGH and not self._paused and self._call is not None:
            self._paused = True
            self._call.pause()
        self._wake()

    def broke(self, wrong: InterplayError | Failure) -> None:
        self.data(broken(wrong))
        self.end()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def status_of(self, wrong: InterplayError | Failure) -> int:
        return status_of(wrong)

    def _answer(self, call: Call, status: int, content_type: bytes, body: bytes, headers: list[Pair]) -> None:
        fixed = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        self._head = (status, [*fixed, *notes(call), *headers])
        self._items.append(body)
        self.end()

    # the coroutine's side

    def forget(self) -> None:
        self._call = None

    @property
    def ended(self) -> bool:
        return self._ended

    async def run(self, send: Send) -> None:
        while self._head is None:
            await self._wait()
        status, headers = self._head
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while True:
            if self._items:
                items, self._items, self._size = self._items, [], 0
                body = items[0] if len(items) == 1 else b"".join(items)
                last = self._ended
                await send({"type": "http.response.body", "body": body, "more_body": not last})
                if last:
                    return
            elif self._ended:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            else:
                if self._paused and self._call is not None:
                    self._paused = False
                    self._call.resume()
                await self._wait()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


async def forward(
    parts: ForwardParts, incoming: Incoming, receive: Receive, send: Send, face: AsgiFace | None = None
) -> None:
    """One call, until its answer is sent or its caller has left."""
    face = face or AsgiFace()
    call = Call(parts, incoming, face)
    call.begin()
    if face.ended:
        await face.run(send)
        return
    leaving = _Leaving(call, receive)
    try:
        await face.run(send)
    except OSError:
        call.gone()
    except asyncio.CancelledError:
        call.gone()
        if not leaving.left:
            raise
    finally:
        leaving.stop()
        face.forget()


class _Leaving:
    """Notices a caller that leaves: only a second reader of `receive` can."""

    def __init__(self, call: Call, receive: Receive) -> None:
        self._call = call
        self._receive = receive
        self._request = asyncio.current_task()
        self._watcher: asyncio.Task[None] | None = None
        self.left = False
        self._timer = asyncio.get_running_loop().call_later(_WATCH_AFTER, self._begin)

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        self.left = True
        self._call.gone()
        if self._request is not None:
            self._request.cancel()

    def stop(self) -> None:
        self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()


async def read_body(receive: Receive, most: int = MOST_BYTES) -> bytes:
    """Raises InputTooLarge as soon as it is over the limit, ConnectionError when the caller leaves."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > most:
            raise too_large(most)
        return body
    parts, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the caller left before the request was whole")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            raise too_large(most)
    return b"".join(parts)


def too_large(most: int) -> InputTooLarge:
    return InputTooLarge(
        f"The body is over the limit of {most // 1024**2} MiB.", where="body", advice="Send less in one request."
    )


async def answer(send: Send, status: int, body: bytes, headers: list[Pair]) -> None:
    fixed = [(b"content-length", b"%d" % len(body))]
    if not any(name == b"content-type" for name, _ in headers):
        fixed.append((b"content-type", _JSON))
    with contextlib.suppress(OSError):
        await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
        await send({"type": "http.response.body", "body": body})

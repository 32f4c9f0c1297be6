"""A class whose client blocks (AWS's does), called from threads of its own, and cut off when nobody waits any more.

Cancelling a task cannot reach a thread that waits for bytes. Closing the connection under it can: while a call runs,
its sockets are known, and leaving it early shuts them down.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

Answer = TypeVar("Answer")
_END: Final = object()


class BlockingCall:
    """One call: the sockets that it uses now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._over = False

    def uses(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets.append(opened)
            cut = self._over
        if cut:
            _shut(opened)

    def done(self) -> None:
        """Its connections may serve others now."""
        with self._lock:
            self._sockets.clear()

    def cut(self) -> None:
        with self._lock:
            self._over = True
            sockets, self._sockets = self._sockets, []
        for opened in sockets:
            _shut(opened)


def _shut(opened: socket.socket) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)


CURRENT: Final[contextvars.ContextVar[BlockingCall | None]] = contextvars.ContextVar("blocking call", default=None)


class ThreadedModel:
    """The part of LangChain's asynchronous interface that we use, over the synchronous one of `model`."""

    def __init__(self, model: Any, threads: int) -> None:
        self._model = model
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="provider")

    def bind_tools(self, tools: list[dict[str, Any]], **options: Any) -> Any:
        return self._model.bind_tools(tools, **options)

    async def ainvoke(self, messages: Any, **options: Any) -> Any:
        return await self._call(lambda: self._model.invoke(messages, **options))

    async def aembed_documents(self, texts: list[str]) -> Any:
        return await self._call(lambda: self._model.embed_documents(texts))

    async def _call(self, work: Callable[[], Answer]) -> Answer:
        call = BlockingCall()
        try:
            return await asyncio.wrap_future(self._start(call, work))
        except asyncio.CancelledError:
            call.cut()
            raise

    def _start(self, call: BlockingCall, work: Callable[[], Answer]) -> Any:
        def run() -> Answer:
            CURRENT.set(call)
            try:
                return work()
            finally:
                call.done()

        return self._pool.submit(contextvars.copy_context().run, run)

    async def astream(self, messages: Any, **options: Any) -> AsyncIterator[Any]:
        """Chunks as they come. Left early, it cuts the call off."""
        loop, call = asyncio.get_running_loop(), BlockingCall()
        chunks: asyncio.Queue[Any] = asyncio.Queue()

        def put(chunk: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)

        def work() -> None:
            try:
                for chunk in self._model.stream(messages, **options):
                    put(chunk)
            finally:
                put(_END)

        running = self._start(call, work)
        try:
            while (chunk := await chunks.get()) is not _END:
                yield chunk
            await asyncio.wrap_future(running)
        finally:
            call.cut()

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

"""A thread of one's own for calls that wait. What hangs in it holds up nobody else, nor the end of the process."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class OwnThread:
    """Calls run one after the other. The thread begins with the first, and ends with `end`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, work: Callable[[], T], within: float | None = None) -> T:
        """Raises TimeoutError after so many seconds; the call goes on in the thread, and nobody hears of it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((done, work))
        async with asyncio.timeout(within):
            return await done

    def end(self) -> None:
        """After what was asked of it before."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            done, work = call
            if done.cancelled():
                continue
            found: Any = None
            error: BaseException | None = None
            try:
                found = work()
            except BaseException as raised:  # noqa: BLE001 - handed to whoever asked
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody asks any more
                done.get_loop().call_soon_threadsafe(_tell, done, found, error)


def _tell(done: asyncio.Future[Any], found: Any, error: BaseException | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(found)
    else:
        done.set_exception(error)

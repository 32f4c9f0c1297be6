"""The client without `await`: the same nouns, run on an event loop of its own in a thread."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any

from interplay.client.nouns import AsyncClient


class Client:
    """`with Client(url, key) as client: client.runs.create(...)`; `client.runs.follow(id)` is a plain iterator."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = AsyncClient(url, key)

    def __getattr__(self, name: str) -> Any:
        return _Plain(getattr(self._client, name), self._run)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Plain:
    """A noun or method of the async client, called without `await`."""

    def __init__(self, target: Any, run: Any) -> None:
        self._target = target
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return _Plain(getattr(self._target, name), self._run)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self._target(*args, **kwargs)
        if inspect.iscoroutine(result):
            return self._run(result)
        if inspect.isasyncgen(result):
            return self._each(result)
        return functools.partial(self._target, *args, **kwargs)()

    def _each(self, events: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._run(_next(events))
            except StopAsyncIteration:
                return


async def _next(events: AsyncIterator[Any]) -> Any:
    return await anext(events)

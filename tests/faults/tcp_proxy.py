"""A network between a worker and PostgreSQL that can lose answers, go silent, or leave connections half open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit, urlunsplit


class TcpProxy:
    """`losing`: what the server answers is dropped and its connection cut, after the server did the work.
    `open`: cleared, nothing passes in either direction; set again, what was held passes late.
    `refusing`: whoever connects is cut off at once; `cut` does it to those who are connected.
    `lost`: how many answers were lost.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.losing = self.refusing = False
        self.open = asyncio.Event()
        self.open.set()
        self.lost = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.close()
            return
        try:
            if isinstance(self._target, str):
                upstream = await asyncio.open_unix_connection(self._target)
            else:
                upstream = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        pair = (writer, upstream[1])
        self._writers.update(pair)
        for source, sink, answers in ((reader, upstream[1], False), (upstream[0], writer, True)):
            task = asyncio.create_task(self._pass(source, sink, answers, pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        answers: bool,
        pair: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self.open.wait()
                if answers and self.losing:
                    self.lost += 1
                    break
                sink.write(data)
                await sink.drain()
        for writer in pair:
            writer.close()
            self._writers.discard(writer)

    def cut(self) -> None:
        """Ends every connection there is."""
        for writer in self._writers:
            writer.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.cut()


@contextlib.asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[TcpProxy, str]]:
    """A proxy before the database of `url`, and the URL that leads through it."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [None])[0]
    port = parts.port or 5432
    target: tuple[str, int] | str = f"{folder}/.s.PGSQL.{port}" if folder else (parts.hostname or "127.0.0.1", port)
    proxy = TcpProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    own = server.sockets[0].getsockname()[1]
    user = parts.netloc.rpartition("@")[0]
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{own}", query=""))
    finally:
        proxy.open.set()
        proxy.close()
        server.close()

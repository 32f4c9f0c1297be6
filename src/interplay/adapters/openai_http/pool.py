"""Keep-alive connections to model servers: the last one used is the first one taken, its answer comes by callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Final

from interplay.adapters.openai_http.raw import RawConnection
from interplay.adapters.openai_http.targets import HttpTarget, Targets
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.registry import Connection
from interplay.core.unreached import why_unreached
from interplay.ports.upstream import AnswerHead, Listener, Outgoing, Patience, Sending, Target, WholeAnswer

_TICK: Final = 0.05  # seconds between two looks at the times of the requests under way
_SLOW_TICK: Final = 1.0  # the same when there are only unused connections
_STALE: Final = 1.0  # seconds within which a connection that the server had closed shows that it was
_MOST_BYTES: Final = 64 * 1024 * 1024  # of a whole answer


class _Exchange(Sending):
    """One request: on which connection it is, and whether it may move to another."""

    __slots__ = ("connection", "ended", "listener", "outgoing", "patience", "pool", "reused", "since", "task")

    def __init__(self, pool: UpstreamPool, outgoing: Outgoing, listener: Listener, patience: Patience) -> None:
        self.pool = pool
        self.outgoing = outgoing
        self.listener = listener
        self.patience = patience
        self.connection: RawConnection | None = None
        self.task: asyncio.Task[None] | None = None
        self.reused = self.ended = False
        self.since = 0.0

    @property
    def sent(self) -> bool:
        return self.since > 0.0

    def abort(self) -> None:
        self.ended = True
        if self.task is not None:
            self.task.cancel()
        if self.connection is not None:
            self.pool.forget(self.connection)
            self.connection.abort()
            self.connection = None

    def pause(self) -> None:
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()


class UpstreamPool:
    """All connections of this process. `targets` knows addresses and secrets."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._idle: dict[str, list[RawConnection]] = {}
        self._busy: dict[RawConnection, _Exchange] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwritten: list[RawConnection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._fast = False
        self._tls: ssl.SSLContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # asked once: asyncio's answer costs a system call

    def target(self, project_id: int, connection: Connection) -> Target | None:
        return self._targets.known(project_id, connection)

    async def resolve(self, project_id: int, connection: Connection) -> Target:
        return await self._targets.find(project_id, connection)

    def send(self, outgoing: Outgoing, listener: Listener, patience: Patience) -> Sending:
        exchange = _Exchange(self, outgoing, listener, patience)
        loop = self._loop
        if loop is None:
            self._loop = loop = asyncio.get_running_loop()
        target = outgoing.target
        assert isinstance(target, HttpTarget)
        connection = self._take(target.lane, loop.time())
        if connection is None:
            self._connect(exchange, loop)
        else:
            exchange.reused = True
            connection.connect = 0.0
            self._start(exchange, connection, loop)
        return exchange

    async def call(self, outgoing: Outgoing, patience: Patience) -> WholeAnswer:
        whole = _Whole(asyncio.get_running_loop())
        sending = self.send(outgoing, whole, patience)
        try:
            return await whole.future
        except BaseException:
            sending.abort()
            raise

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for connection, exchange in list(self._busy.items()):
            exchange.ended = True
            connection.abort()
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._busy.clear()
        self._idle.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def counts(self) -> tuple[int, int]:
        """Connections in use, and unused ones."""
        return len(self._busy), sum(len(idle) for idle in self._idle.values())

    # what connections tell

    def later(self, connection: RawConnection) -> None:
        if not self._unwritten:
            assert self._loop is not None
            self._loop.call_soon(self._write)
        self._unwritten.append(connection)

    def _write(self) -> None:
        them, self._unwritten = self._unwritten, []
        for connection in them:
            connection.write()

    def freed(self, connection: RawConnection) -> None:
        self._let_go(connection)
        assert self._loop is not None
        connection.deadline = self._loop.time() + connection.idle_for
        self._idle.setdefault(connection.lane, []).append(connection)

    def broken(self, connection: RawConnection, failure: Failure | None) -> None:
        exchange = self._busy.pop(connection, None)
        if exchange is None:
            with contextlib.suppress(KeyError, ValueError):
                self._idle[connection.lane].remove(connection)
            return
        exchange.connection = None
        if failure is None:
            exchange.ended = True
        elif not exchange.ended:
            loop = asyncio.get_running_loop()
            stale = exchange.reused and not connection.touched and loop.time() - exchange.since < _STALE
            if stale and failure.code != "timeout":
                exchange.reused = False
                self._connect(exchange, loop)
            else:
                exchange.ended = True
                exchange.listener.failed(failure)

    def forget(self, connection: RawConnection) -> None:
        self._busy.pop(connection, None)

    # inside

    def _let_go(self, connection: RawConnection) -> None:
        """Its answer is whole: nothing that its caller does now may reach the next one."""
        exchange = self._busy.pop(connection, None)
        if exchange is not None:
            exchange.connection = None
            exchange.ended = True

    def _take(self, lane: str, now: float) -> RawConnection | None:
        idle = self._idle.get(lane)
        while idle:
            connection = idle.pop()
            if connection.deadline > now and connection.usable():
                return connection
            connection.close()
        return None

    def _start(self, exchange: _Exchange, connection: RawConnection, loop: asyncio.AbstractEventLoop) -> None:
        target, outgoing = exchange.outgoing.target, exchange.outgoing
        assert isinstance(target, HttpTarget)
        exchange.connection = connection
        exchange.since = now = loop.time()
        self._busy[connection] = exchange
        connection.who = target.who
        connection.deadline = now + exchange.patience.first_byte
        connection.send(target.head(outgoing), outgoing.body or b"", exchange.listener)
        if not self._fast:
            self._arm(loop, fast=True)

    def _connect(self, exchange: _Exchange, loop: asyncio.AbstractEventLoop) -> None:
        exchange.task = task = loop.create_task(self._connected(exchange, loop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, exchange: _Exchange, loop: asyncio.AbstractEventLoop) -> None:
        target = exchange.outgoing.target
        assert isinstance(target, HttpTarget)
        limit, began = exchange.patience.connect, loop.time()
        try:
            async with asyncio.timeout(limit):
                connection = await self._open(target, loop)
        except StepFailure as refused:
            failure = refused.failure
        except TimeoutError:
            failure = Failure("timeout", f"{target.who} could not be reached within {limit:g} s.")
        except (OSError, ssl.SSLError) as broken:
            failure = Failure("unavailable", f"{target.who} cannot be reached: {why_unreached(broken)}.")
        else:
            exchange.task = None
            connection.connect = loop.time() - began
            self._start(exchange, connection, loop)
            return
        exchange.task = None
        exchange.ended = True
        exchange.listener.failed(failure)

    async def _open(self, target: HttpTarget, loop: asyncio.AbstractEventLoop) -> RawConnection:
        address = await self._targets.address(target)
        if target.tls and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        _, connection = await loop.create_connection(
            lambda: RawConnection(self, target.lane, target.who),
            address,
            target.port,
            ssl=self._tls if target.tls else None,
            server_hostname=target.host if target.tls else None,
        )
        return connection

    def _arm(self, loop: asyncio.AbstractEventLoop, *, fast: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fast = fast
        self._timer = loop.call_later(_TICK if fast else _SLOW_TICK, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Requests whose time is over fail; connections that nobody used for long are closed."""
        now = loop.time()
        for connection, exchange in list(self._busy.items()):
            if connection.heard or connection.paused:
                connection.heard = False
                connection.deadline = now + exchange.patience.idle
            elif connection.deadline <= now:
                connection.fail(_late(connection, exchange))
        for lane, idle in list(self._idle.items()):
            while idle and (idle[0].deadline <= now or not idle[0].usable()):
                idle.pop(0).close()
            if not idle:
                del self._idle[lane]
        self._timer = None
        if self._busy or self._idle:
            self._arm(loop, fast=bool(self._busy))
        else:
            self._fast = False


def _late(connection: RawConnection, exchange: _Exchange) -> Failure:
    if connection.answered:
        limit = exchange.patience.idle
        return Failure("timeout", f"{connection.who} went silent in the middle of its answer for {limit:g} s.")
    return Failure("timeout", f"{connection.who} did not begin to answer within {exchange.patience.first_byte:g} s.")


class _Whole(Listener):
    """Collects an answer for a coroutine."""

    __slots__ = ("_parts", "_size", "_taken", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[WholeAnswer] = loop.create_future()
        self._parts: list[bytes] = []
        self._size = 0
        self._taken = AnswerHead()

    def head(self, head: AnswerHead) -> None:
        self._taken = AnswerHead(head.status, head.content_type, head.retry_after)

    def data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > _MOST_BYTES:
            self.failed(Failure("output_too_large", f"The answer is over {_MOST_BYTES // 1024**2} MiB."))
        else:
            self._parts.append(data)

    def done(self) -> None:
        if not self.future.done():
            head = self._taken
            self.future.set_result(WholeAnswer(head.status, head.content_type, head.retry_after, b"".join(self._parts)))

    def failed(self, failure: Failure) -> None:
        if not self.future.done():
            self.future.set_exception(
                StepFailure(failure.code, failure.detail, advice=failure.advice, retry_after=failure.retry_after)
            )

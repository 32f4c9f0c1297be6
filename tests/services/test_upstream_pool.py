"""The upstream pool over real sockets: what servers do to connections, and what must never reach the next caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.openai_http.pool import UpstreamPool
from interplay.adapters.openai_http.targets import Targets
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection
from interplay.ports.upstream import Outgoing, Patience

# on both loops: their transports differ in more than speed
pytestmark = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
Play = Callable[["Peer"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class Peer:
    """One accepted connection, from the server's side."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        return head + await self.reader.readexactly(length)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@dataclass
class Stage:
    """A server whose connections are played by a function, and a pool that calls it."""

    pool: UpstreamPool
    connection: Connection
    peers: list[Peer] = field(default_factory=list)

    async def call(self, body: bytes = b"{}", patience: Patience | None = None) -> tuple[int, bytes]:
        target = await self.pool.resolve(1, self.connection)
        answer = await self.pool.call(Outgoing(target, "chat/completions", body), patience or Patience(1.0, 5.0, 5.0))
        return answer.status, answer.body


@asynccontextmanager
async def stage(play: Play) -> AsyncIterator[Stage]:
    async def none() -> str:
        raise AssertionError("no local server here")

    made = Stage(UpstreamPool(Targets(MemorySecretStore({"k": "hush"}), none)), Connection("x"))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, len(made.peers))
        made.peers.append(peer)
        try:
            await play(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made.connection = Connection("x", base_url=f"http://127.0.0.1:{port}/v1", api_key="secret://k")
    try:
        yield made
    finally:
        await made.pool.close()
        server.close()


async def answering(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.say(OK)


class TestConnections:
    async def test_are_used_again(self) -> None:
        async with stage(answering) as here:
            for _ in range(5):
                assert await here.call() == (200, b"{}")
            assert len(here.peers) == 1

    async def test_the_last_one_used_is_the_first_one_taken(self) -> None:
        async with stage(answering) as here:
            await asyncio.gather(*(here.call() for _ in range(3)))
            opened = len(here.peers)
            for _ in range(6):
                await here.call()
            assert len(here.peers) == opened
            assert here.pool.counts == (0, opened)

    async def test_one_that_the_server_closed_meanwhile_is_replaced_without_a_word(self) -> None:
        closed = asyncio.Event()

        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.say(OK)
            if peer.number == 0:
                await peer.request()  # it took the request, and is gone before it answered
                peer.writer.transport.abort()
                closed.set()
                return
            await answering(peer)

        async with stage(play) as here:
            await here.call()
            assert await here.call() == (200, b"{}")
            assert closed.is_set()
            assert len(here.peers) == 2

    async def test_a_fresh_one_that_breaks_is_not_tried_again(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            peer.writer.transport.abort()

        async with stage(play) as here:
            with pytest.raises(StepFailure) as failed:
                await here.call()
            assert failed.value.failure.code == "unavailable"
            assert len(here.peers) == 1

    async def test_one_whose_server_says_close_is_not_kept(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.say(OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            await peer.reader.read()

        async with stage(play) as here:
            await here.call()
            await here.call()
            assert len(here.peers) == 2

    async def test_are_kept_shorter_than_their_server_keeps_them(self) -> None:
        async def play(peer: Peer) -> None:
            while True:
                await peer.request()
                await peer.say(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"))

        async with stage(play) as here:
            await here.call()
            await here.call()
            assert len(here.peers) == 2

    async def test_one_that_answered_before_it_had_read_all_is_not_used_again(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.say(OK)
            await peer.reader.read()

        async with stage(play) as here:
            big = b"x" * 20_000_000
            assert await here.call(big) == (200, b"{}")
            assert here.pool.counts == (0, 0)

    async def test_bytes_that_nobody_asked_for_never_answer_the_next_call(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            extra = OK.replace(b"{}", b"[]") if peer.number == 0 else b""
            await peer.say(OK + extra)
            await answering(peer)

        async with stage(play) as here:
            assert await here.call() == (200, b"{}")
            assert await here.call() == (200, b"{}")
            assert len(here.peers) == 2


class TestAnswers:
    @pytest.mark.parametrize("size", [1, 3, 7, 1000])
    async def test_may_come_cut_anywhere(self, size: int) -> None:
        text = (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
        )

        async def play(peer: Peer) -> None:
            while True:
                await peer.request()
                for place in range(0, len(text), size):
                    await peer.say(text[place : place + size])

        async with stage(play) as here:
            assert await here.call() == (200, b'{"a":1}')
            assert await here.call() == (200, b'{"a":1}')
            assert len(here.peers) == 1

    async def test_may_end_with_their_connection(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"HTTP/1.1 200 OK\r\n\r\nall of it")

        async with stage(play) as here:
            assert await here.call() == (200, b"all of it")

    async def test_that_are_shorter_than_they_said_are_a_failure(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.say(OK.replace(b"length: 2", b"length: 9"))

        async with stage(play) as here:
            with pytest.raises(StepFailure, match="in the middle of its answer"):
                await here.call()

    async def test_that_are_no_http_are_a_failure(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.say(b"SSH-2.0-OpenSSH_9.2\r\n")
            await peer.reader.read()

        async with stage(play) as here:
            with pytest.raises(StepFailure, match="no HTTP"):
                await here.call()

    async def test_large_requests_and_answers_come_whole(self) -> None:
        async def play(peer: Peer) -> None:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

        body = bytes(range(256)) * 20_000
        async with stage(play) as here:
            assert await here.call(body) == (200, body)


class TestTimes:
    async def test_a_server_that_never_answers_is_given_up(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.reader.read()

        async with stage(play) as here:
            with pytest.raises(StepFailure, match="did not begin to answer") as failed:
                await here.call(patience=Patience(1.0, 0.1, 1.0))
            assert failed.value.failure.code == "timeout"
            assert here.pool.counts == (0, 0)

    async def test_a_server_that_goes_silent_is_given_up(self) -> None:
        async def play(peer: Peer) -> None:
            await peer.request()
            await peer.say(OK[:-1])
            await peer.reader.read()

        async with stage(play) as here:
            with pytest.raises(StepFailure, match="went silent"):
                await here.call(patience=Patience(1.0, 5.0, 0.1))

    async def test_nobody_there_is_said_at_once(self) -> None:
        async with stage(answering) as here:
            here.connection = Connection("x", base_url="http://127.0.0.1:9/v1")
            with pytest.raises(StepFailure, match="cannot be reached"):
                await here.call()


class TestCancelling:
    async def test_a_cancelled_call_closes_its_connection(self) -> None:
        took, closed = asyncio.Event(), asyncio.Event()

        async def play(peer: Peer) -> None:
            await peer.request()
            took.set()
            await peer.reader.read()
            closed.set()

        async with stage(play) as here:
            task = asyncio.create_task(here.call())
            await took.wait()
            task.cancel()
            await closed.wait()
            assert here.pool.counts == (0, 0)


class TestTargets:
    async def test_credentials_go_along(self) -> None:
        seen: list[bytes] = []

        async def play(peer: Peer) -> None:
            seen.append(await peer.request())
            await peer.say(OK)

        async with stage(play) as here:
            await here.call()
        assert seen[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:")
        assert b"\r\nauthorization: Bearer hush\r\n" in seen[0]

    async def test_a_changed_connection_is_a_new_target(self) -> None:
        async with stage(answering) as here:
            first = await here.pool.resolve(1, here.connection)
            assert here.pool.target(1, here.connection) is first
            changed = Connection("x", base_url=here.connection.base_url, headers={"x-a": "b"})
            assert here.pool.target(1, changed) is None
            assert await here.pool.resolve(1, changed) is not first

    async def test_a_header_with_a_line_break_is_refused(self) -> None:
        async with stage(answering) as here:
            bad = Connection("y", base_url=here.connection.base_url, headers={"x-a": "b\r\nx-c: d"})
            with pytest.raises(StepFailure, match="line break"):
                await here.pool.resolve(1, bad)

    async def test_the_guard_decides_where_a_call_may_go(self) -> None:
        async def none() -> str:
            raise AssertionError("no local server here")

        async def refuse(url: str) -> str:
            raise StepFailure("egress_refused", f"{url} is private.")

        pool = UpstreamPool(Targets(MemorySecretStore({}), none, refuse))
        target = await pool.resolve(1, Connection("x", base_url="http://127.0.0.1:9/v1"))
        with pytest.raises(StepFailure, match="is private"):
            await pool.call(Outgoing(target, "models", None), Patience())
        await pool.close()

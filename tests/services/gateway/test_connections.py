"""What happens to connections: callers that leave, read slowly, or send in unusual ways. On both faces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from contextlib import AbstractAsyncContextManager

import pytest

from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.models.usage_record import UsageRecord
from interplay.services.all_in_one.machine import Machine
from interplay.web_server import BoundedHttp
from tests.services.gateway.caller import Caller, calling_at
from tests.services.gateway.raw_upstream import (
    DONE,
    HEAD,
    LAST,
    STOP,
    WORD,
    Asked,
    RawUpstream,
    chunk,
    raw_upstream,
    whole,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
AT_ONCE = 0.1  # seconds within which an upstream call must be over when its caller left


def calling(machine: Machine) -> AbstractAsyncContextManager[Caller]:
    return calling_at(machine.url, machine.token)


async def point(machine: Machine, upstream: RawUpstream) -> None:
    models = machine.platform.models
    await models.put_connection(1, Connection("raw", base_url=upstream.url, timeout=20.0))
    await models.put_model(1, Model("raw", "chat", (Deployment("raw", "up"),)))
    await machine.platform.tenancy.snapshots.refresh()


async def last_record(machine: Machine) -> UsageRecord:
    await machine.platform.tenancy.writer.flush()
    (record,) = await machine.platform.tenancy.usage.latest(1, 1)
    return record


class TestACallerWhoLeaves:
    async def test_before_the_answer_ends_the_upstream_call_at_once(self, machine: Machine) -> None:
        async with raw_upstream(Asked.until_left) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send()
            asked = await upstream.asked.get()
            caller.leave()
            began = time.monotonic()
            await asked.left.wait()
            assert time.monotonic() - began < AT_ONCE
            record = await last_record(machine)
            assert (record.status, record.outcome, record.alias) == (499, "client_gone", "raw")
            assert record.usage.input_tokens > 0, "the question was read, so it is counted"

    async def test_in_a_stream_ends_it_and_what_was_generated_is_accounted(self, machine: Machine) -> None:
        async def play(asked: Asked) -> None:
            await asked.say(HEAD, *[chunk(WORD)] * 8)
            await asked.until_left()

        async with raw_upstream(play) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send(stream=True)
            asked = await upstream.asked.get()
            heard = b""
            while heard.count(b"word") < 8:
                heard += await caller.reader.read(65536)
            caller.leave()
            began = time.monotonic()
            await asked.left.wait()
            assert time.monotonic() - began < AT_ONCE
            record = await last_record(machine)
            assert record.outcome == "client_gone"
            assert record.usage.output_tokens == 8 * len("word ") // 4

    async def test_leaves_no_call_behind(self, machine: Machine) -> None:
        async with raw_upstream(Asked.until_left) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send()
            asked = await upstream.asked.get()
            caller.leave()
            await asked.left.wait()
            live = machine.gateway.snapshot().models[1, "raw"].deployments[0]
            assert live.inflight == 0


class TestASlowReader:
    async def test_holds_the_upstream_back(self, machine: Machine) -> None:
        big = chunk(WORD.replace(b"word ", b"w" * 60_000))
        stalled = asyncio.Event()

        async def play(asked: Asked) -> None:
            await asked.say(HEAD)
            for _ in range(2_000):  # 120 MB
                try:
                    async with asyncio.timeout(1.0):
                        await asked.say(big)
                except TimeoutError:
                    stalled.set()
                    break
            await asked.until_left()

        async with raw_upstream(play) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await caller.send(stream=True)
            asked = await upstream.asked.get()
            await stalled.wait()
            assert asked.sent < 40_000_000
            caller.leave()
            await asked.left.wait()

    async def test_gets_everything_in_the_end(self, machine: Machine) -> None:
        count = 3_000

        async def play(asked: Asked) -> None:
            await asked.say(
                HEAD, *[chunk(WORD.replace(b"word ", b"w" * 1_000))] * count, chunk(STOP), chunk(DONE), LAST
            )

        async with raw_upstream(play) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send(stream=True)
            heard = bytearray()
            while not heard.endswith(LAST):
                heard += await caller.reader.read(10_000)
                await asyncio.sleep(0)
            assert heard.count(b"w" * 1_000) == count
            assert b"[DONE]" in heard


class TestRequests:
    async def test_one_after_the_other_use_one_connection(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            for _ in range(3):
                await caller.send()
                head, body = await caller.answer()
                assert head.startswith(b"HTTP/1.1 200 OK")
                assert json.loads(body)["choices"]

    async def test_sent_without_waiting_are_answered_in_order(self, machine: Machine) -> None:
        async def play(asked: Asked) -> None:
            name = json.loads(asked.body)["user"].encode()
            await asked.say(whole(b'{"choices":[{"finish_reason":"stop"}],"user":"%s"}' % name))

        async with raw_upstream(play) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            caller.writer.write(b"".join(caller.request(user=f"u{number}") for number in range(5)))
            said = [json.loads((await caller.answer())[1])["user"] for _ in range(5)]
            assert said == [f"u{number}" for number in range(5)]

    async def test_that_come_in_small_pieces_are_whole(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            request = caller.request()
            for place in range(0, len(request), 7):
                caller.writer.write(request[place : place + 7])
                await asyncio.sleep(0)
            assert (await caller.answer())[0].startswith(b"HTTP/1.1 200 OK")

    async def test_that_ask_first_are_told_to_go_on(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            head, _, body = caller.request(b"expect: 100-continue\r\n").partition(b"\r\n\r\n")
            caller.writer.write(head + b"\r\n\r\n")
            assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            caller.writer.write(body)
            assert (await caller.answer())[0].startswith(b"HTTP/1.1 200 OK")

    async def test_that_say_close_are_the_last(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send(b"connection: close\r\n")
            head, _ = await caller.answer()
            assert b"connection: close" in head.lower()
            assert await caller.reader.read() == b""

    async def test_of_http_1_0_are_answered(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            caller.writer.write(caller.request(version=b"1.0"))
            assert b" 200 OK" in (await caller.answer())[0]

    async def test_whose_key_comes_behind_the_body_have_none(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            head, _, body = caller.request().partition(b"\r\n\r\n")
            lines = [line for line in head.split(b"\r\n") if not line.startswith(b"content-length")]
            mine = next(line for line in lines if line.startswith(b"authorization"))
            chunked = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
            for given in (b"authorization: Bearer ik_no", b"x-none: 1"):
                said = b"\r\n".join(given if line is mine else line for line in lines)
                caller.writer.write(b"%s\r\ntransfer-encoding: chunked\r\n\r\n%s%s\r\n\r\n" % (said, chunked, mine))
                head, _ = await caller.answer()
                assert b" 401 " in head
                if b"connection: close" in head.lower():
                    break
            assert upstream.calls == 0

    async def test_with_two_keys_have_none(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send(b"authorization: Bearer ik_another\r\n")
            assert b" 401 " in (await caller.answer())[0]
            assert upstream.calls == 0

    async def test_that_are_no_http_are_refused(self, machine: Machine) -> None:
        async with calling(machine) as caller:
            caller.writer.write(b"hello\r\n\r\n")
            assert (await caller.reader.read()).startswith(b"HTTP/1.1 400")

    async def test_a_long_body_is_read_only_from_who_has_a_key(self, machine: Machine) -> None:
        async with calling(machine) as caller:
            caller.writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer ik_no\r\n"
                b"content-length: 20000000\r\n\r\n"
            )
            head, body = await caller.answer()
            assert head.startswith(b"HTTP/1.1 401")
            assert json.loads(body)["error"]["code"] == "invalid_api_key"


class TestAHeadThatIsSentAgain:
    """Its bytes are known by then; whatever else differs must be seen as if they were not."""

    async def test_goes_with_the_body_of_its_own_however_it_is_cut(self, machine: Machine) -> None:
        async def play(asked: Asked) -> None:
            await asked.say(whole(b'{"choices":[{"finish_reason":"stop"}],"said":%s}' % asked.body))

        async with raw_upstream(play) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            sent = 0

            async def said(*parts: bytes) -> None:
                nonlocal sent
                for part in parts:
                    caller.writer.write(part)
                    await caller.writer.drain()
                _, body = await caller.answer()
                sent += 1
                assert json.loads(body)["said"]["n"] == sent, "each answer is that of its own question"

            for length in (1, 1, 7, 700, 70):  # as it is
                await said(caller.request(n=sent + 1, pad="x" * length))
            request = caller.request(n=sent + 1)
            head = request.index(b"\r\n\r\n") + 4
            await said(request[:head], request[head:])
            await said(caller.request(n=sent + 1))
            request = caller.request(n=sent + 1)
            await said(request[:9], request[9:-3], request[-3:])
            await said(caller.request(n=sent + 1))
            await said(caller.request(b"x-more: 1\r\n", n=sent + 1))
            await said(caller.request(b"x-more: 1\r\n", n=sent + 1, pad="y" * 99_000))
            await said(b"\r\n" + caller.request(b"x-more: 1\r\n", n=sent + 1))
            caller.writer.write(caller.request(n=sent + 1) + caller.request(n=sent + 2))
            await said()
            await said()
            await said(caller.request(n=sent + 1))
            assert upstream.calls == sent

    async def test_is_not_believed_when_the_length_is_none(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            for _ in range(2):
                await caller.send()
                await caller.answer()
            request = caller.request()
            place = request.index(b"content-length: ") + 16
            caller.writer.write(request[:place] + b"+" + request[place:])
            head, _ = await read_all(caller)
            assert b" 400 " in head
            assert upstream.calls == 2

    async def test_and_one_key_after_the_other_are_told_apart(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            for _ in range(2):
                await caller.send()
                assert b" 200 " in (await caller.answer())[0]
            request = caller.request()
            place = request.index(b"Bearer ik_") + 10
            other = b"Z" if request[place : place + 1] != b"Z" else b"Y"
            caller.writer.write(request[:place] + other + request[place + 1 :])
            assert b" 401 " in (await caller.answer())[0]
            await caller.send()
            assert b" 200 " in (await caller.answer())[0]
            assert upstream.calls == 3


class TestAReaderWhoStopped:
    async def test_is_left_after_a_while(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BoundedHttp, "stall_seconds", 0.2)
        big = chunk(WORD.replace(b"word ", b"w" * 60_000))

        async def play(asked: Asked) -> None:
            await asked.say(HEAD)
            with contextlib.suppress(ConnectionError):
                while True:
                    await asked.say(big)
            asked.left.set()

        async with raw_upstream(play) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            await caller.send(stream=True)
            asked = await upstream.asked.get()
            async with asyncio.timeout(20):
                await asked.left.wait()
            assert (await last_record(machine)).outcome == "client_gone"


class TestAHeadWithoutAnEnd:
    @pytest.mark.parametrize(
        ("beginning", "more"),
        [
            (b"POST /v1/chat/completions HTTP/1.1\r\nx: ", b"x" * 8_192),
            (b"POST /v1/chat/completions HTTP/1.1\r\n", b"y: " + b"z" * 500 + b"\r\n"),
            (b"GET /healthz HTTP/1.1\r\n", b"y: " + b"z" * 500 + b"\r\n"),
            (b"GET /", b"x" * 8_192),
        ],
    )
    async def test_is_refused_before_it_takes_room(self, machine: Machine, beginning: bytes, more: bytes) -> None:
        async with calling(machine) as caller:
            caller.writer.write(beginning)
            answer = asyncio.ensure_future(caller.reader.readuntil(b"\r\n\r\n"))
            sent = 0
            while not answer.done() and sent < 4 * 1024 * 1024:
                caller.writer.write(more)
                sent += len(more)
                await caller.writer.drain()
                await asyncio.sleep(0)  # the server is in this loop
            head = await answer
            assert b" 431 " in head
            assert sent < 2 * 1024 * 1024

    async def test_is_not_waited_for_for_ever(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BoundedHttp, "head_seconds", 0.2)
        async with calling(machine) as silent, calling(machine) as caller:
            caller.writer.write(caller.request()[:60])
            async with asyncio.timeout(10):
                assert b" 408 " in (await read_all(caller))[0]
                assert b" 408 " in (await read_all(silent))[0]

    async def test_of_the_usual_length_is_taken_again_and_again(self, machine: Machine) -> None:
        async with raw_upstream(lambda asked: asked.say(whole())) as upstream, calling(machine) as caller:
            await point(machine, upstream)
            for number in range(40):
                await caller.send(b"x-long: %s\r\n" % (b"x" * 4_000), n=number)
                assert b" 200 " in (await caller.answer())[0]


async def read_all(caller: Caller) -> tuple[bytes, bytes]:
    head, _, body = (await caller.reader.read()).partition(b"\r\n\r\n")
    return head, body

"""Callers who leave, read slowly, or send what cannot be answered: nobody else pays for them."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator

import pytest

from tests.faults.gateway.acts import WORDS, answers, chunk, event, says_and_waits, streams
from tests.faults.gateway.stage import Scene
from tests.services.gateway.caller import Caller, calling_at
from tests.services.gateway.raw_upstream import HEAD, Asked, RawUpstream

pytestmark = pytest.mark.asyncio(loop_scope="session")
scenario = pytest.mark.scenario
LEAVERS = 7  # one after the other
AT_ONCE, AT_MOST = 0.1, 1.0  # seconds until the upstream call ends: for most of them, and for each
FLOOD = 3_000  # calls with bad keys
ROOM = 48 * 1024 * 1024  # bytes that a gateway may hold for one slow reader, with all that lies in sockets
BIG = chunk(event("w" * 60_000))


class TestACallerWhoLeaves:
    """What is judged: the median of seven leavers is within 100 ms, and each of them within a second. A machine that
    is busy with something else holds one or two of them up, and not most."""

    @scenario("client gone before")
    @pytest.mark.parametrize("stream", [False, True])
    async def test_before_the_answer_ends_the_upstream_call(self, scene: Scene, stream: bool) -> None:
        first, second = await scene.upstream(says_and_waits()), await scene.upstream(answers())
        await scene.route(first.url, second.url, priority=[0, 1])
        await leave_at_once(scene, first, stream)
        for record in await scene.expect(LEAVERS, 0, accounted=["client_gone"] * LEAVERS):
            assert record["status"] == 499
            assert record["usage"]["input_tokens"] > 0, "the question was read"

    @scenario("client gone before")
    async def test_before_its_question_is_whole_costs_nothing(self, scene: Scene) -> None:
        only = await scene.upstream(answers())
        await scene.route(only.url)
        async with calling_at(scene.gateway.url, scene.machine.token) as caller:
            caller.writer.write(caller.request(model=scene.alias)[:-10])
            await caller.writer.drain()
            caller.leave()
        scene.tally.saw.append("left")
        await scene.expect(0, accounted=[])

    @scenario("client gone during")
    async def test_in_a_stream_ends_it_and_what_was_generated_is_accounted(self, scene: Scene) -> None:
        first, second = await scene.upstream(says_and_waits(*streams(*WORDS))), await scene.upstream(answers())
        await scene.route(first.url, second.url, priority=[0, 1])
        await leave_at_once(scene, first, True, after=b"five")
        for record in await scene.expect(LEAVERS, 0, accounted=["client_gone"] * LEAVERS):
            assert record["usage"]["output_tokens"] == len("one two three four five") // 4


async def leave_at_once(scene: Scene, upstream: RawUpstream, stream: bool, after: bytes = b"") -> None:
    """Each leaves when the upstream has its question, or after these bytes of the answer."""
    seconds = []
    for _ in range(LEAVERS):
        async with calling_at(scene.gateway.url, scene.machine.token) as caller, asyncio.timeout(10):
            await caller.send(model=scene.alias, stream=stream)
            asked = await upstream.asked.get()
            if after:
                await caller.reader.readuntil(after)
            began = time.monotonic()
            caller.leave()
            await asked.left.wait()
            seconds.append(time.monotonic() - began)
    scene.tally.saw += ["left"] * LEAVERS
    median = statistics.median(seconds)
    scene.tally.figures.append(f"upstream ended after {median * 1e3:.0f} ms, at most {max(seconds) * 1e3:.0f}")
    assert median <= AT_ONCE, seconds
    assert max(seconds) <= AT_MOST, seconds


class TestASlowReader:
    @scenario("slow reader")
    async def test_holds_the_upstream_back_and_takes_no_memory(self, scene: Scene) -> None:
        stalled = asyncio.Event()

        async def pours(asked: Asked) -> None:
            await asked.say(HEAD)
            try:
                for _ in range(4_000):  # 240 MB
                    async with asyncio.timeout(1.0):
                        await asked.say(BIG)
            except TimeoutError:
                stalled.set()
            await asked.until_left()

        only = await scene.upstream(pours)
        await scene.route(only.url)
        before = scene.gateway.resident()
        async with calling_at(scene.gateway.url, scene.machine.token) as caller:
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await caller.send(model=scene.alias, stream=True)
            asked = await only.asked.get()
            async with asyncio.timeout(60):
                await stalled.wait()
            grown = scene.gateway.resident() - before
            scene.tally.saw.append("read nothing, left")
            scene.tally.figures.append(f"{asked.sent >> 20} MiB taken, memory +{grown >> 20} MiB")
            assert grown < ROOM
            assert asked.sent < ROOM
            caller.leave()
            await asyncio.wait_for(asked.left.wait(), 10)
        await scene.expect(1, accounted=["client_gone"])


class TestAQuestionThatCannotBeAnswered:
    @scenario("oversized body")
    @pytest.mark.parametrize("announced", [True, False])
    async def test_because_it_is_too_large(self, scene: Scene, announced: bool) -> None:
        only = await scene.upstream(answers())
        await scene.route(only.url)
        pieces = [b"x" * 1024 * 1024] * 33

        async def unannounced() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        told = await scene.send(content=b"".join(pieces) if announced else unannounced())
        assert (told.status, told.code) == (413, "request_too_large")
        assert "32 MiB" in told.error["message"]
        await scene.expect(0, accounted=[])

    @scenario("invalid JSON")
    async def test_because_it_is_no_json(self, scene: Scene) -> None:
        only = await scene.upstream(answers())
        await scene.route(only.url)
        told = await scene.send(content=b'{"model": "%s",\n "messages": [}' % scene.alias.encode())
        assert told.status == 400
        assert "line 2, column 15" in told.error["message"]
        await scene.expect(0, accounted=[])

    @scenario("unknown model")
    async def test_because_its_model_is_unknown(self, scene: Scene) -> None:
        only = await scene.upstream(answers())
        await scene.route(only.url)
        told = await scene.ask(model=scene.alias.replace("alias", "alais"))
        assert (told.status, told.code) == (404, "model_not_found")
        assert f"'{scene.alias}'" in told.error["message"]
        await scene.expect(0, accounted=[])


class TestAFlood:
    @scenario("key flood")
    async def test_of_bad_keys_is_cheap_and_others_are_served_meanwhile(self, scene: Scene) -> None:
        only = await scene.upstream(answers())
        await scene.route(only.url)
        over = asyncio.Event()
        numbers = iter(range(FLOOD))
        refused: list[tuple[bytes, str]] = []

        async def flood() -> None:
            async with calling_at(scene.gateway.url, "") as caller:
                for number in numbers:
                    await Caller(caller.reader, caller.writer, f"ik_{number:043d}").send(model=scene.alias)
                    head, body = await caller.answer()
                    refused.append((head.split()[1], json.loads(body)["error"]["code"]))

        async def served() -> list[float]:
            seconds = []
            while not over.is_set():
                began = time.monotonic()
                assert (await scene.ask()).whole
                seconds.append(time.monotonic() - began)
            return seconds

        good = asyncio.create_task(served())
        began = time.monotonic()
        await asyncio.gather(*(flood() for _ in range(16)))
        rate = FLOOD / (time.monotonic() - began)
        over.set()
        seconds = await good
        scene.tally.figures.append(f"{rate:.0f} refusals/s; slowest good call {max(seconds) * 1e3:.0f} ms")
        scene.tally.saw += [f"401 {code}" for _, code in refused]
        assert refused == [(b"401", "invalid_api_key")] * FLOOD
        assert max(seconds) < 2.0
        await scene.expect(len(seconds), accounted=["ok"] * len(seconds))

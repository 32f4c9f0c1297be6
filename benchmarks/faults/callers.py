"""Scenarios with more than one question, or with callers who leave, read slowly or send what cannot be answered."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter

from benchmarks.faults.acts import (
    BIG,
    DONE,
    HEAD,
    LAST,
    ROLE,
    WORDS,
    Act,
    answers,
    chunk,
    in_turn,
    refuses,
    says_and_waits,
    stop,
    streams,
)
from benchmarks.faults.plays import BUSY, Play, refused, whole
from benchmarks.faults.scripted import Asked
from benchmarks.faults.stage import QUESTION, Stage, expect
from benchmarks.harness.ours import family_memory

AT_ONCE = 1.0  # seconds in which an upstream call must have ended whose caller left
ROOM = 48.0  # MB for one slow reader, with all that lies in sockets
FLOOD = 300
MANY = 1_000
OVERSIZED = 110 * 1024 * 1024  # more than any default that is known


async def left_alone(stage: Stage) -> str:
    for _ in range(3):
        told = await stage.ask()
        expect(whole(told), told)
    first, second = stage.calls
    expect((first, second) == (1, 3), f"all answered, but the busy one was called {first} times in its 60 s")
    return "called once, then left alone"


async def flaps(stage: Stage) -> str:
    for _ in range(6):
        told = await stage.ask()
        expect(whole(told), told)
    failed = stage.calls[0]
    expect(failed == 3, f"all answered, but the primary was called {failed} times, and not 3")
    async with asyncio.timeout(10):
        while stage.calls[0] == failed:
            await asyncio.sleep(0.2)
            expect(whole(await stage.ask()), "a question was not answered while it rested")
    second = stage.calls[1]
    expect(whole(await stage.ask()), "not answered after it came back")
    expect(stage.calls[1] == second, "the primary did not come back")
    return "rests after 3 failures, comes back"


def leaves(stream: bool, after: bytes) -> Play:
    act = (lambda: says_and_waits(*streams(ROLE, *WORDS))) if after else says_and_waits

    async def judge(stage: Stage) -> str:
        async with stage.connection(stream=stream) as (reader, writer), asyncio.timeout(10):
            asked = await stage.first.asked.get()
            if after:
                await reader.readuntil(after)
            began = time.monotonic()
            writer.transport.abort()
            try:
                async with asyncio.timeout(5):
                    await asked.left.wait()
            except TimeoutError:
                expect(False, "the upstream call goes on for 5 s and more")
        seconds = time.monotonic() - began
        expect(seconds < AT_ONCE, f"the upstream call ended only after {seconds:.1f} s")
        return f"the upstream call ended after {seconds * 1e3:.0f} ms"

    return Play("client gone during" if after else "client gone before", (act,), judge)


def pours() -> Act:
    async def play(asked: Asked) -> None:
        await asked.say(HEAD)
        try:
            for _ in range(4_000):  # 240 MB
                async with asyncio.timeout(1.5):
                    await asked.say(chunk(BIG))
        except TimeoutError:
            pass
        asked.left.set()  # it waits for its reader, or it poured all
        while await asked.reader.read(65536):
            continue

    return play


async def slow_reader(stage: Stage) -> str:
    pid = stage.aim.pid
    assert pid is not None
    before = family_memory(pid)
    async with stage.connection(stream=True) as (_, writer), asyncio.timeout(60):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        asked = await stage.first.asked.get()
        await asked.left.wait()
        grown, taken = family_memory(pid) - before, asked.sent / 1e6
        writer.transport.abort()
    expect(grown < ROOM and taken < ROOM, f"{taken:.0f} MB taken for a reader of nothing, memory +{grown:.0f} MB")
    return f"{taken:.0f} MB taken, memory +{grown:.0f} MB"


async def thousand(stage: Stage) -> str:
    began = time.monotonic()
    calls = [asyncio.create_task(_heard(stage)) for _ in range(MANY)]
    _, late = await asyncio.wait(calls, timeout=60)
    for call in late:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    heard = Counter("no end in 60 s" if call in late else call.result() for call in calls)
    told = ", ".join(f"{number} {what}" for what, number in heard.most_common())
    expect(heard["whole"] == MANY, told)
    return f"all whole in {time.monotonic() - began:.1f} s"


async def _heard(stage: Stage) -> str:
    """What one of many was told."""
    try:
        async with stage.connection(stream=True) as (reader, _):
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                return head[9:12].decode()
            answer = await reader.readuntil(LAST)
    except (OSError, asyncio.IncompleteReadError) as wrong:
        return f"broken off ({type(wrong).__name__})"
    whole_words = all(word.strip() in answer for word in (b"one", b"two", b"five"))
    return "whole" if whole_words and answer.count(b"[DONE]") == 1 else "not whole"


def together() -> Act:
    """Half of each stream, and the rest when all are there."""
    there, number = asyncio.Event(), 0

    async def play(asked: Asked) -> None:
        nonlocal number
        number += 1
        if number == MANY:
            there.set()
        await asked.say(*streams(ROLE, WORDS[0]))
        await there.wait()
        await asked.say(*map(chunk, [*WORDS[1:], stop(), DONE]), LAST)

    return play


async def oversized(stage: Stage) -> str:
    question = [{"role": "user", "content": "x" * OVERSIZED}]
    told = await stage.ask(content=json.dumps(stage.body(messages=question)).encode(), within=30)
    expect(told.status == 413, f"{told} to {OVERSIZED >> 20} MB, {sum(stage.calls)} upstream calls")
    return "413"


async def no_json(stage: Stage) -> str:
    told = await stage.ask(content=b'{"model": "%s",\n "messages": [}' % stage.aim.model.encode())
    expect(told.status == 400, told)
    words = (b"line", b"column", b"position", b"char", b"offset")
    expect(any(word in told.body.lower() for word in words), "400 without the place")
    return "400 with the place"


async def unknown_model(stage: Stage) -> str:
    name = stage.aim.model
    wrong = name[:-1] + ("x" if name[-1] != "x" else "y")
    told = await stage.ask(content=json.dumps({"model": wrong, "messages": QUESTION}).encode())
    expect(told.status == 404, f"{told}, {sum(stage.calls)} upstream calls")
    near = re.findall(rb"fault\d\d", told.body.replace(wrong.encode(), b""))
    expect(bool(near), "404 without near names")
    return "404 with near names"


async def flood(stage: Stage) -> str:
    over, slowest = asyncio.Event(), 0.0

    async def served() -> float:
        worst = 0.0
        while not over.is_set():
            began = time.monotonic()
            expect(whole(await stage.ask()), "a good call failed meanwhile")
            worst = max(worst, time.monotonic() - began)
        return worst

    good = asyncio.create_task(served())
    try:
        for _ in range(FLOOD // 30):
            told = await asyncio.gather(*(stage.ask(key=f"sk-bad-{number}") for number in range(30)))
            wrong = [one for one in told if one.status not in (400, 401, 403)]
            expect(not wrong, f"{wrong[0] if wrong else ''} to a bad key")
    finally:
        over.set()
        slowest = await good
    expect(slowest < 2.0, f"a good call took {slowest:.1f} s meanwhile")
    return f"{told[0].status} each; the slowest good call took {slowest * 1e3:.0f} ms"


def callers() -> list[Play]:
    flapping = lambda: in_turn(*[refuses(503)] * 3, answers())  # noqa: E731
    return [
        Play("429 with Retry-After", (lambda: BUSY, answers), left_alone),
        Play("429 with Retry-After", (lambda: BUSY,), refused(False, 429, header="retry-after")),
        Play("flapping primary", (flapping, answers), flaps, rests=True),
        leaves(False, b""),
        leaves(True, b""),
        leaves(True, b"five"),
        Play("oversized body", (answers,), oversized),
        Play("invalid JSON", (answers,), no_json),
        Play("unknown model", (answers,), unknown_model),
        Play("key flood", (answers,), flood),
        Play("slow reader", (pours,), slow_reader),
        Play("1,000 streams at once", (together,), thousand),
    ]

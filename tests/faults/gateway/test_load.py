"""Under load: a gateway that is killed, a database that is away, a thousand streams. Nothing is lost or paid twice."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from interplay.core.tenancy.limits import Limits
from interplay.use_cases.write_usage import BATCH
from tests.faults.gateway.acts import ROLE, WORDS, answers, stop, streams
from tests.faults.gateway.stage import CHAT, GatewayProcess, Scene, Told, serving
from tests.faults.tcp_proxy import TcpProxy, proxied
from tests.services.gateway.caller import calling_at
from tests.services.gateway.raw_upstream import DONE, LAST, Asked, chunk

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]
scenario = pytest.mark.scenario
ONE_FACE = pytest.mark.parametrize("gateway", ["protocol"], indirect=True)
OUTAGE = float(os.environ.get("INTERPLAY_TEST_OUTAGE", "60"))  # seconds
CALLERS = 16
MANY = 1_000


@dataclass
class Answered:
    """What a load heard: the id and time of each whole answer, and how many calls broke off."""

    at: dict[UUID, float] = field(default_factory=dict)
    slowest: float = 0.0
    broken: int = 0

    async def ask(self, scene: Scene, headers: dict[str, str], *, stream: bool) -> None:
        began = time.monotonic()
        answer = await scene.http.post(CHAT, json=scene.say(stream=stream), headers=headers)
        told = Told(answer.status_code, answer.headers, answer.content)
        assert told.whole, told.body
        self.at[told.request_id] = time.time()
        self.slowest = max(self.slowest, time.monotonic() - began)


@pytest_asyncio.fixture(loop_scope="session")
async def away(scene: Scene, tmp_path: Path) -> AsyncIterator[TcpProxy]:
    """The scene moves to a gateway whose way to the database can be broken."""
    async with proxied(scene.database_url) as (proxy, url), serving(url, tmp_path, scene.gateway.face) as gateway:
        await scene.move(gateway)
        yield proxy


@pytest_asyncio.fixture(loop_scope="session")
async def victim(scene: Scene, tmp_path: Path) -> AsyncIterator[GatewayProcess]:
    """A gateway of its own, to be killed."""
    async with serving(scene.database_url, tmp_path, scene.gateway.face) as gateway:
        yield gateway


class TestAGatewayThatIsKilled:
    @scenario("kill -9 under load")
    async def test_loses_no_record_but_those_of_the_last_unflushed_batch(
        self, scene: Scene, victim: GatewayProcess
    ) -> None:
        only, survivor, heard = await scene.upstream(answers()), scene.gateway, Answered()
        await scene.move(victim)
        await scene.route(only.url)

        async def calls(number: int) -> None:
            try:
                while True:
                    await heard.ask(scene, {}, stream=bool(number % 2))
            except httpx.TransportError:
                heard.broken += 1

        callers = [asyncio.create_task(calls(number)) for number in range(CALLERS)]
        async with asyncio.timeout(60):
            while len(heard.at) < 1_000:
                await asyncio.sleep(0.01)
        await victim.kill()
        killed = time.time()
        await asyncio.gather(*callers)
        await scene.move(survivor)
        records = await scene.records()
        accounted = {UUID(record["record_id"]) for record in records}
        flushed = max(record["at"] for record in records)
        missing = [at for request_id, at in heard.at.items() if request_id not in accounted]
        lost = f"{len(missing)} of {len(heard.at)} records lost, of the last {(killed - flushed) * 1e3:.0f} ms"
        scene.tally.figures.append(lost)
        scene.tally.saw = ["200 whole"] * len(heard.at) + ["connection broken"] * heard.broken
        scene.tally.accounted = [record["outcome"] for record in records]
        assert heard.broken == CALLERS, "who was not answered knows it"
        assert len(accounted) == len(records), "nothing is written down twice"
        assert 0 <= only.calls - len(heard.at) <= CALLERS, "no call was made twice"
        assert len(accounted - set(heard.at)) <= CALLERS
        assert all(at >= flushed for at in missing), "what is lost came after all that was kept"
        assert len(missing) <= BATCH

    @scenario("kill -9 under load")
    @ONE_FACE
    async def test_loses_nothing_of_what_it_set_aside_while_the_database_was_away(
        self, scene: Scene, tmp_path: Path
    ) -> None:
        only, heard = await scene.upstream(answers()), Answered()
        async with proxied(scene.database_url) as (proxy, url):
            async with serving(url, tmp_path, scene.gateway.face) as victim:
                await scene.move(victim)
                await scene.route(only.url)
                proxy.refusing = True
                proxy.cut()
                await asyncio.gather(*(heard.ask(scene, {}, stream=bool(number % 2)) for number in range(100)))
                async with asyncio.timeout(30):
                    while not all(str(made).encode() in set_aside(tmp_path) for made in heard.at):
                        await asyncio.sleep(0.05)
                await victim.kill()
            proxy.refusing = False
            async with serving(url, tmp_path, scene.gateway.face) as again:
                await scene.move(again)
                records = await scene.records(least=len(heard.at))
        scene.tally.saw = ["200 whole"] * len(heard.at)
        scene.tally.accounted = [record["outcome"] for record in records]
        scene.tally.figures.append("0 lost, the database away, started again")
        assert only.calls == len(heard.at)
        assert sorted(UUID(record["record_id"]) for record in records) == sorted(heard.at)


def set_aside(home: Path) -> bytes:
    """What a gateway wrote to its disk for later."""
    return b"".join(path.read_bytes() for path in (home / "spill").glob("usage-*.bin"))


class TestADatabaseThatIsAway:
    @scenario("database away")
    @ONE_FACE
    async def test_is_nothing_that_a_caller_sees_and_every_call_is_accounted(
        self, scene: Scene, away: TcpProxy
    ) -> None:
        only, heard = await scene.upstream(answers()), Answered()
        await scene.route(only.url)
        limited = await scene.key(Limits(requests=1_000_000, tokens=1_000_000_000))
        over = asyncio.Event()

        async def calls(headers: dict[str, str], stream: bool) -> None:
            while not over.is_set():
                await heard.ask(scene, headers, stream=stream)
                await asyncio.sleep(0.02)  # the pace of a caller

        callers = [asyncio.create_task(calls(headers, stream)) for headers in ({}, limited) for stream in (False, True)]
        while len(heard.at) < 100:
            await asyncio.sleep(0.01)
        before = len(heard.at)
        away.refusing = True
        away.cut()
        await asyncio.wait(callers, timeout=OUTAGE / 2, return_when="FIRST_EXCEPTION")
        away.refusing = False
        away.open.clear()
        await asyncio.wait(callers, timeout=OUTAGE / 2, return_when="FIRST_EXCEPTION")
        during = len(heard.at) - before
        away.open.set()
        over.set()
        await asyncio.gather(*callers)
        records = await scene.records(least=len(heard.at))
        scene.tally.saw = ["200 whole"] * len(heard.at)
        scene.tally.accounted = [record["outcome"] for record in records]
        scene.tally.figures.append(f"{OUTAGE:g} s, {during} calls in it, slowest {heard.slowest * 1e3:.0f} ms")
        assert during > 10 * OUTAGE
        assert heard.slowest < 2.0
        assert only.calls == len(heard.at)
        assert sorted(UUID(record["record_id"]) for record in records) == sorted(heard.at)


class TestAThousandStreams:
    @scenario("1,000 streams at once")
    async def test_all_end_whole(self, scene: Scene) -> None:
        all_there = asyncio.Event()

        async def play(asked: Asked) -> None:
            if only.calls == MANY:
                all_there.set()
            await asked.say(*streams(ROLE, WORDS[0]))
            await all_there.wait()
            await asked.say(*map(chunk, [*WORDS[1:], stop(), DONE]), LAST)

        only = await scene.upstream(play)
        await scene.route(only.url)

        async def call() -> bytes:
            async with calling_at(scene.gateway.url, scene.machine.token) as caller:
                await caller.send(model=scene.alias, stream=True)
                return await caller.reader.readuntil(LAST)

        before, began = scene.gateway.resident(), time.monotonic()
        async with asyncio.timeout(60):
            heard = await asyncio.gather(*(call() for _ in range(MANY)))
        seconds, grown = time.monotonic() - began, scene.gateway.resident() - before
        scene.tally.figures.append(f"{seconds:.1f} s, memory +{grown >> 20} MiB")
        whole = [answer for answer in heard if answer.count(b"[DONE]") == 1 and b"error" not in answer]
        scene.tally.saw = ["200 whole"] * len(whole)
        assert len(whole) == MANY
        assert all(word in answer for answer in heard for word in WORDS)
        await scene.expect(MANY, accounted=["ok"] * MANY)

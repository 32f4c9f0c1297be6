"""Effects whose worker is lost while they are under way: each policy does what it says, in words (fault 1)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.core.runs.events import decode_value
from interplay.core.runs.status import RunStatus
from interplay.use_cases.steer_run import Decision, SteerRun
from tests.faults.conftest import Bench, new_id
from tests.faults.invariants import violations
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.timeout(120)
KINDS = {
    "http": "http: {url: $inputs.url, method: POST, body: {n: $inputs.n}}",
    "emit": "emit: {url: $inputs.url, value: {n: $inputs.n}}",
}
UNKNOWN = "Ask the receiver whether it happened; to do it again, fork the run from this step."


def flow(kind: str, policy: str) -> str:
    return (
        f"flow: effects\ninputs: {{n: integer, url: string}}\nsteps:\n  a: {{{KINDS[kind]}, effect: {policy}}}\n"
        "output: $a.status\n"
    )


class Lost:
    """A run whose worker was killed while its effect was under way; another worker has it now."""

    def __init__(self, bench: Bench, provider: ProviderServer) -> None:
        self.bench, self.provider = bench, provider

    async def begin(self, kind: str, policy: str) -> UUID:
        self.provider.play({"delay": 30.0}, {})
        first = self.bench.worker()
        (run,) = await self.bench.start(flow(kind, policy), 1, url=self.provider.url)
        async with asyncio.timeout(30):
            while not self.provider.calls():
                await asyncio.sleep(0.02)
        first.kill()
        await asyncio.to_thread(first.wait)
        self.bench.worker()
        return run

    async def failure(self, run: UUID) -> dict[str, Any]:
        await self.bench.until("failed", 1)
        assert await violations(self.bench.url) == {}
        error = (await self.bench.runs.get(1, run)).error
        assert error is not None
        failure: dict[str, Any] = decode_value(error)["failure"]
        return failure

    async def decide(self, run: UUID, decision: str) -> None:
        await self.bench.until("waiting", 1)
        steer = SteerRun(self.bench.runs, MemoryEventBus(), SystemClock(), new_id)
        assert await steer.decide(1, run, "a", Decision(decision, "ada"))

    async def succeeded(self, run: UUID) -> None:
        await self.bench.until_ended()
        await self.bench.check(self.provider)
        assert (await self.bench.runs.get(1, run)).status is RunStatus.SUCCEEDED


@pytest.fixture
def lost(bench: Bench, provider: ProviderServer) -> Lost:
    return Lost(bench, provider)


@pytest.mark.parametrize("kind", list(KINDS))
class TestLostWorker:
    async def test_fail_does_it_once_and_says_that_nobody_knows(self, lost: Lost, kind: str) -> None:
        failure = await lost.failure(await lost.begin(kind, "fail"))
        assert failure["code"] == "unknown_outcome"
        assert failure["detail"] == "A worker was lost while the effect was under way: it may have happened, or not."
        assert failure["advice"] == UNKNOWN
        assert len(lost.provider.calls()) == 1

    async def test_retry_does_it_again_under_the_same_key(self, lost: Lost, kind: str) -> None:
        run = await lost.begin(kind, "retry")
        await lost.succeeded(run)
        assert [call["key"] for call in lost.provider.calls()] == [f"{run}:a"] * 2

    async def test_ask_does_it_again_when_somebody_says_so(self, lost: Lost, kind: str) -> None:
        run = await lost.begin(kind, "ask")
        await lost.decide(run, "approve")
        await lost.succeeded(run)
        assert len(lost.provider.calls()) == 2

    async def test_ask_does_it_once_when_somebody_says_no(self, lost: Lost, kind: str) -> None:
        run = await lost.begin(kind, "true")
        await lost.decide(run, "reject")
        failure = await lost.failure(run)
        assert failure["code"] == "unknown_outcome"
        assert failure["detail"] == (
            "A worker was lost while the effect was under way, and ada decided not to do it again."
        )
        assert failure["advice"] == UNKNOWN
        assert len(lost.provider.calls()) == 1


class TestDeadline:
    async def test_a_run_that_still_works_ends_at_it_in_words(self, bench: Bench, provider: ProviderServer) -> None:
        provider.play({"delay": 30.0})
        bench.worker()
        text = flow("http", "fail") + "deadline: 1s\n"
        (run,) = await bench.start(text, 1, url=provider.url)
        await bench.until("failed", 1)
        assert await violations(bench.url) == {}
        error = (await bench.runs.get(1, run)).error
        assert error is not None
        failure = decode_value(error)["failure"]
        assert failure["code"] == "deadline_exceeded"
        assert failure["detail"] == "The run did not end before its deadline."
        assert failure["advice"] == (
            "Give its flow a longer `deadline` (without one it is 24 h); `interplay runs show RUN` says what took long."
        )

    async def test_a_flow_that_names_none_has_a_day(self, bench: Bench) -> None:
        await bench.start(flow("http", "fail"), 1, url="http://127.0.0.1:9")
        connection = await asyncpg.connect(bench.url)
        seconds = await connection.fetchval("select extract(epoch from deadline_at - created_at)::float8 from run")
        await connection.close()
        assert seconds == 24 * 3600.0

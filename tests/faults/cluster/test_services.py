"""Each process of a cluster killed, frozen, taken away under runs and calls (faults 1, 3, 5, 6, 11, 29, 30)."""

from __future__ import annotations

import asyncio
import contextlib
import signal

import httpx
import pytest

from tests.cluster import LEASE
from tests.faults.cluster.load import Load
from tests.faults.cluster.stage import MESSAGES, MODEL, TAKEOVERS, Stage
from tests.faults.test_api_faults import LONG
from tests.kafka_server import make_topic
from tools.cluster.cluster import KAFKA, POSTGRES

pytestmark = pytest.mark.timeout(240)


def mixed(stage: Stage, load: Load) -> list[object]:
    return [
        load.start_runs("calls", 0.1, url=stage.provider.url),
        load.call(MODEL, 0.05),
        load.call(MODEL, 0.05),
    ]


class TestKills:
    async def test_kill_9_of_every_process_in_turn(self, stage: Stage) -> None:
        load, cluster = stage.load(), stage.cluster
        victims = [*cluster.names(), POSTGRES, KAFKA]
        stage.dice.shuffle(victims)
        async with load.going(*mixed(stage, load)) as seen:
            for name in victims:
                await stage.progress(seen, 2, 2)
                pid = await stage.do(cluster.kill, name)
                stage.note(f"kill -9 of {name}, process {pid}")
            await stage.whole()
            await stage.progress(seen)
        counted = await stage.check(seen)
        stage.figures += [
            f"seed {stage.seed}", f"{len(victims)} kills", f"{counted['runs']} runs", f"{seen.calls} calls",
            f"{len(seen.broken)} broken off", f"{seen.moved + seen.early} moved on",
        ]  # fmt: skip
        assert len(seen.broken) <= 4 * len(cluster.names("gateway")), "calls break with the gateway that has them"
        assert seen.refused == [], "who is answered is answered well"

    async def test_a_worker_frozen_past_its_lease_does_no_harm_when_it_wakes(self, stage: Stage) -> None:
        load, cluster = stage.load(), stage.cluster
        frozen = stage.dice.choice(cluster.names("worker"))
        before = await stage.ask(TAKEOVERS)
        stage.provider.play({"delay": 0.5})
        async with load.going(*mixed(stage, load)) as seen:
            await stage.progress(seen)
            await stage.until(lambda: has_runs(stage, frozen))
            await stage.do(cluster.signal, frozen, signal.SIGSTOP)
            stage.note(f"stopped {frozen}")
            try:
                await stage.progress(seen)
                await stage.until(lambda: taken_over(stage, before))
            finally:
                await stage.do(cluster.signal, frozen, signal.SIGCONT)
            stage.note("it goes on")
            await stage.progress(seen)
        counted = await stage.check(seen)
        after = await stage.ask(TAKEOVERS)
        stage.figures += [f"seed {stage.seed}", f"{after - before} takeovers", f"{counted['runs']} runs"]
        assert (seen.broken, seen.refused) == ([], [])

    async def test_a_worker_killed_again_and_again_under_the_same_name(self, stage: Stage) -> None:
        load, cluster = stage.load(), stage.cluster
        name = stage.dice.choice(cluster.names("worker"))
        async with load.going(*mixed(stage, load)) as seen:
            pids = set()
            for _ in range(4):
                await stage.progress(seen, 2, 2)
                pids.add(await stage.do(cluster.kill, name))
                await stage.until(lambda: works(stage, name))
            await stage.progress(seen)
        counted = await stage.check(seen)
        stage.figures += [f"seed {stage.seed}", f"{len(pids)} kills", f"{counted['runs']} runs"]
        assert len(pids) == 4
        assert (seen.broken, seen.refused) == ([], [])


async def taken_over(stage: Stage, before: int) -> bool:
    return (await stage.ask(TAKEOVERS) or 0) > before


async def has_runs(stage: Stage, worker: str) -> bool:
    """As it says itself."""
    said = await stage.do(httpx.get, f"{stage.cluster.url(worker)}/metrics", trust_env=False)
    return "\ninterplay_worker_runs 0\n" not in f"\n{said.text}"


async def works(stage: Stage, name: str) -> bool:
    return await stage.do(stage.cluster.readiness, name) == "ready"


class TestDatabase:
    async def test_restarted_and_away_for_longer_than_a_lease(self, stage: Stage) -> None:
        load, cluster = stage.load(), stage.cluster
        async with load.going(*mixed(stage, load)) as seen:
            await stage.progress(seen)
            await stage.do(cluster.restart, POSTGRES)
            stage.note("restarted the database")
            await stage.progress(seen)
            await stage.do(cluster.stop, POSTGRES)
            stage.note("stopped the database")
            answered, retries = seen.calls, seen.retries
            await asyncio.sleep(2 * LEASE)  # the fault itself
            for name in cluster.names("worker"):
                assert await stage.do(cluster.readiness, name) == "not ready"
            for name in cluster.names("gateway"):
                assert await stage.do(cluster.readiness, name) == "degraded"
            assert seen.calls > answered, "gateways go on by what they know"
            assert seen.retries > retries, "APIs say that it is away"
            await stage.do(cluster.start, POSTGRES)
            stage.note("started it again")
            await stage.progress(seen)
            await stage.whole()
        counted = await stage.check(seen)
        stage.figures += [f"seed {stage.seed}", f"{counted['runs']} runs", f"{seen.retries} tries more"]
        assert (seen.broken, seen.refused) == ([], [])


class TestBroker:
    async def test_away_and_back_no_message_is_lost_or_doubled(self, stage: Stage) -> None:
        load, cluster = stage.load(), stage.cluster
        topic, dead = f"in-{stage.seed}", f"dead-{stage.seed}"
        for name, partitions in ((topic, 4), (dead, 1)):
            await stage.do(make_topic, cluster.broker, name, partitions)
        async with load.client() as http:
            body = {
                "topic": topic, "flow": "note", "inputs": {"n": "$message.value.n"},
                "start": "earliest", "dead_letters": dead,
            }  # fmt: skip
            put = await http.put(f"{cluster.urls('api')[0]}/api/v1/triggers/notes-{stage.seed}", json=body)
            assert put.status_code < 300, put.text
        async with load.going(*mixed(stage, load), load.write(cluster.broker, topic, 0.01)) as seen:
            await stage.until(lambda: noted(stage, 100))
            await stage.do(cluster.stop, KAFKA)
            stage.note("stopped the broker")
            await stage.until(lambda: degraded(stage))
            await stage.progress(seen)  # what PostgreSQL holds carries on
            await stage.do(cluster.start, KAFKA)
            stage.note("started it again")
            before = len(seen.messages)
            await stage.until(lambda: written(seen.messages, before + 50))
        await stage.until(lambda: noted(stage, len(seen.messages)))
        counted = await stage.check(seen)
        stage.figures += [f"seed {stage.seed}", f"{len(seen.messages)} messages", f"{counted['runs']} runs beside"]
        started = {row["place"] for row in await stage.rows(MESSAGES)}
        assert seen.messages <= started, "each message that the broker had started its run"
        assert (seen.broken, seen.refused) == ([], [])


async def noted(stage: Stage, count: int) -> bool:
    return (await stage.ask("select count(*) from run where labels ? 'message'") or 0) >= count


async def degraded(stage: Stage) -> bool:
    return await stage.do(stage.cluster.readiness, "worker-1") == "degraded"


async def written(messages: set[str], count: int) -> bool:
    return len(messages) >= count


class TestStreams:
    async def test_an_api_killed_under_a_stream_and_the_reader_goes_on_at_the_other(self, stage: Stage) -> None:
        """I8."""
        load, cluster = stage.load(), stage.cluster
        first, second = cluster.names("api")
        async with load.client() as http:
            put = await http.put(f"{cluster.url(first)}/api/v1/flows/long", json={"source": LONG})
            assert put.status_code < 300, put.text
            async with load.going(*mixed(stage, load)) as seen:
                await stage.progress(seen)
                made = await http.post(f"{cluster.url(first)}/api/v1/runs", json={"flow": "long", "inputs": {"n": 1}})
                run = made.json()["run"]
                numbers: list[int] = []
                with contextlib.suppress(httpx.TransportError):
                    await follow(http, cluster.url(first), run, numbers, lambda: stage.cluster.kill(first))
                at_kill = len(numbers)
                stage.note(f"killed {first} after event {numbers[-1]}")
                await follow(http, cluster.url(second), run, numbers, None)
            seen.runs.append(run)
        await stage.check(seen)
        stage.figures += [f"seed {stage.seed}", f"{at_kill} events, then {len(numbers) - at_kill} elsewhere"]
        assert 20 <= at_kill < 100 < len(numbers)
        assert numbers == list(range(1, len(numbers) + 1))


async def follow(http: httpx.AsyncClient, api: str, run: str, numbers: list[int], at_20: object) -> None:
    """Event numbers after the last that was seen."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(numbers[-1] if numbers else 0)}
    async with http.stream("GET", f"{api}/api/v1/runs/{run}/events", headers=headers) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                numbers.append(int(line.removeprefix("id: ")))
                if len(numbers) == 20 and callable(at_20):
                    await asyncio.to_thread(at_20)

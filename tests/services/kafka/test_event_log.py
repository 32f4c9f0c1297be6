"""What happens to runs, as other systems read it: every event of every run, in order, on a topic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from confluent_kafka import Producer

from interplay.adapters.kafka.event_log import event_of
from interplay.client import AsyncClient
from interplay.core.models.registry import Connection, Deployment, Model
from interplay.core.topics_of_ours import RUNS, TOPICS, USAGE, named
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import Settings, load_settings
from tests.kafka_server import fresh_topic, records_of
from tests.provider_server import provider_server
from tests.topic_log import firsts, log_problems, logged_events
from tools.kafka import KafkaBroker

FLOW = """
flow: count
inputs: {n: integer}
steps:
  double: {set: {n: "${ inputs.n * 2 }"}}
  ask: {approve: {who: [anybody], show: "?"}, when: inputs.n == 7, after: [double]}
output: {n: $double.n}
"""


@pytest.fixture
def namespace(tmp_path: Path, kafka: KafkaBroker) -> str:
    """Topics of the test's own."""
    name = f"n{abs(hash(tmp_path)) % 10**12}"
    for topic in TOPICS:
        fresh_topic(kafka, topic.partitions, named(topic, name))
    return name


@pytest.fixture
def settings(database_url: str, tmp_path: Path, kafka: KafkaBroker, namespace: str) -> Settings:
    return load_settings(
        home=tmp_path / "home", database_url=database_url, port=0, kafka_bootstrap=kafka.bootstrap,
        lease_seconds=5.0, kafka_namespace=namespace, egress_allow="127.0.0.0/8",
    )  # fmt: skip


@pytest.fixture
async def machine(settings: Settings) -> AsyncIterator[Machine]:
    async with run_machine(settings, announce=False) as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(machine.url, machine.token) as made:
        await made.flows.put("count", FLOW)
        yield made


async def until(done: Callable[[], Any], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not done():
            await asyncio.sleep(0.05)


async def published(url: str) -> None:
    """Returns when the ledger says that everything is."""
    connection = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(40):
            while await connection.fetchval("select count(*) from run where pub_seq >= 0 and pub_seq <> seq"):
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


class TestTheTopic:
    async def test_it_has_the_journal_of_each_run(
        self, client: AsyncClient, settings: Settings, kafka: KafkaBroker, namespace: str
    ) -> None:
        views = await asyncio.gather(*(client.runs.create("count", {"n": n}, wait=30) for n in range(5)))
        assert settings.database_url is not None
        await published(settings.database_url)
        assert await log_problems(settings.database_url, kafka, namespace) == []
        logged = logged_events(kafka, namespace)
        events = logged[UUID(views[3]["run"])]
        assert [event.kind.wire_name for event in events] == [
            "run.started", "step.succeeded", "step.skipped", "run.succeeded",
        ]  # fmt: skip
        assert (events[1].facts["output"], events[-1].facts["output"]) == ({"n": 6}, {"n": 6})
        assert {event.flow for event in events} == {"count"}

    async def test_a_record_is_a_cloud_event(
        self, client: AsyncClient, settings: Settings, kafka: KafkaBroker, namespace: str
    ) -> None:
        view = await client.runs.create("count", {"n": 1}, wait=30)
        await published(str(settings.database_url))
        records = [record for n in range(RUNS.partitions) for record in records_of(kafka, named(RUNS, namespace), n)]
        key, value, headers = records[0]
        assert key.decode() == view["run"]
        assert dict(headers)["content-type"].startswith(b"application/cloudevents+json")
        event = json.loads(value)
        assert (event["specversion"], event["id"]) == ("1.0", f"{view['run']}:1")
        assert (event["type"], event["source"]) == ("interplay.v1.run.started", "/projects/1")

    async def test_a_run_that_waits_is_there_before_it_goes_on(
        self, client: AsyncClient, settings: Settings, kafka: KafkaBroker, namespace: str
    ) -> None:
        view = await client.runs.create("count", {"n": 7})
        run_id = UUID(view["run"])
        await until(lambda: len(logged_events(kafka, namespace).get(run_id, ())) >= 3)
        await published(str(settings.database_url))
        kinds = [event.kind.wire_name for event in logged_events(kafka, namespace)[run_id]]
        assert kinds == ["run.started", "step.succeeded", "step.waiting"]
        await client.runs.cancel(view["run"])
        await published(str(settings.database_url))
        assert firsts(logged_events(kafka, namespace)[run_id])[-1] == (await client.runs.get(view["run"]))["events"]

    async def test_what_calls_use_is_on_a_topic_of_its_own(
        self, client: AsyncClient, machine: Machine, kafka: KafkaBroker, namespace: str
    ) -> None:
        with provider_server() as provider:
            models = machine.platform.models
            await models.put_connection(1, Connection("one", base_url=provider.url))
            await models.put_model(1, Model("gpt", "chat", (Deployment("one", "m"),)))
            async with httpx.AsyncClient(
                base_url=machine.url, headers={"authorization": f"Bearer {machine.token}"}
            ) as web:
                async with asyncio.timeout(30):
                    while "gpt" not in (await web.get("/v1/models")).text:
                        await asyncio.sleep(0.05)
                asked = {"model": "gpt", "messages": [{"role": "user", "content": "?"}]}
                answers = [await web.post("/v1/chat/completions", json=asked) for _ in range(3)]
            assert {answer.status_code for answer in answers} == {200}

        def records() -> list[Any]:
            return [one for n in range(USAGE.partitions) for one in records_of(kafka, named(USAGE, namespace), n)]

        await until(lambda: len(records()) >= 3)
        found = [json.loads(value) for _, value, _ in records()]
        assert {event["type"] for event in found} == {"interplay.v1.usage.recorded"}
        assert {(event["data"]["model"], event["data"]["outcome"]) for event in found} == {("gpt", "ok")}
        assert len({event["id"] for event in found}) == len(found) == 3


class TestTheRecorder:
    async def test_it_counts_what_ended_and_passes_over_what_is_no_event(
        self, client: AsyncClient, machine: Machine, kafka: KafkaBroker, namespace: str
    ) -> None:
        await until(lambda: machine.recorder.topic is not None and machine.recorder.topic.ready.is_set())
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for raw in (b"\xff", b"{}", b"", None, b"x" * 900_000):
            producer.produce(named(RUNS, namespace), value=raw, partition=0)
        producer.flush(10)
        for n in range(4):
            await client.runs.create("count", {"n": n}, wait=30)
        counted = machine.recorder.record.counted
        await until(lambda: counted.ends.get((1, "count", "succeeded")) == 4 and counted.unreadable == 5)
        async with httpx.AsyncClient() as web:
            text = (await web.get(f"{machine.url}/metrics", headers={"authorization": f"Bearer {machine.token}"})).text
        assert 'interplay_runs_ended_total{project="1",flow="count",how="succeeded"} 4' in text
        assert "interplay_events_unreadable_total 5" in text

    async def test_a_topic_that_was_read_from_its_beginning_again_changes_no_count(
        self, settings: Settings, kafka: KafkaBroker, namespace: str
    ) -> None:
        """As after offsets were reset: the same events come again, and are dropped."""
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            await client.flows.put("count", FLOW)
            view = await client.runs.create("count", {"n": 1}, wait=30)
            counted = machine.recorder.record.counted
            await until(lambda: counted.ends.get((1, "count", "succeeded")) == 1)
            producer = Producer({"bootstrap.servers": kafka.bootstrap})
            topic = named(RUNS, namespace)
            for key, value, headers in [r for n in range(RUNS.partitions) for r in records_of(kafka, topic, n)]:
                event = event_of(value)
                if event is not None and str(event.run_id) == view["run"]:
                    producer.produce(topic, value=value, key=key, headers=list(headers))
            producer.flush(10)
            await until(lambda: counted.doubled == 4)
            assert counted.ends == {(1, "count", "succeeded"): 1}


class TestWithoutABroker:
    async def test_events_are_not_kept_for_anybody(self, database_url: str, tmp_path: Path) -> None:
        settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0)
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            await client.flows.put("count", FLOW)
            await client.runs.create("count", {"n": 1}, wait=30)
            assert await machine.platform.log_store.unpublished(10) == []


class TestABrokerThatIsAway:
    async def test_runs_go_on_and_their_events_come_when_it_returns(self, database_url: str, tmp_path: Path) -> None:
        broker = KafkaBroker(tmp_path / "kafka")
        broker.start()
        try:
            settings = load_settings(
                home=tmp_path / "home", database_url=database_url, port=0, kafka_bootstrap=broker.bootstrap,
                kafka_namespace="ours",
            )  # fmt: skip
            async with (
                run_machine(settings, announce=False) as machine,
                AsyncClient(machine.url, machine.token) as client,
            ):
                await client.flows.put("count", FLOW)
                await client.runs.create("count", {"n": 1}, wait=30)
                await published(database_url)
                broker.stop()
                views = [await client.runs.create("count", {"n": n}, wait=30) for n in range(5)]
                assert {view["status"] for view in views} == {"succeeded"}
                broker.start()
                await published(database_url)
            assert await log_problems(database_url, broker, "ours") == []
        finally:
            broker.stop()

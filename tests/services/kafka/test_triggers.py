"""Triggers over a real broker: messages start runs, once each, whatever is wrong with some of them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.client import ApiError, AsyncClient
from interplay.ports.topic_writer import TopicRecord
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.kafka_server import fresh_topic, records_of
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(180)
FLOW = """
flow: note
inputs: {text: string, n: integer}
steps:
  out: {set: {said: "${ inputs.text + '!' }"}}
output: {said: $out.said, n: $inputs.n}
"""
INPUTS = {"text": "$message.value.text", "n": "$message.value.n"}


async def write(broker: KafkaBroker, topic: str, *values: Any, key: bytes | None = None) -> None:
    producer = KafkaProducer(KafkaConnection(broker.bootstrap))
    try:
        for value in values:
            raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
            await producer.send(TopicRecord(topic, raw, key))
    finally:
        await producer.close()


def told(text: str = "hi", n: int = 1) -> dict[str, Any]:
    return {"text": text, "n": n}


async def until(look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """What is looked at, once it is as wanted."""
    async with asyncio.timeout(90):
        while not wanted(found := await look()):
            await asyncio.sleep(0.05)
    return found


async def tally(client: AsyncClient, wanted: Callable[[Any], bool], name: str = "notes") -> Any:
    return (await until(lambda: client.triggers.get(name), lambda trigger: wanted(trigger["tally"])))["tally"]


async def ended(client: AsyncClient, count: int) -> list[Any]:
    """The runs, once so many have ended; by their `n`."""

    async def look() -> list[Any]:
        return [run async for run in client.runs.each() if run["status"] in ("succeeded", "failed")]

    found = await until(look, lambda runs: len(runs) >= count)
    views = [await client.runs.get(run["run"]) for run in found]
    return sorted(views, key=lambda view: view["inputs"]["n"])


@pytest.fixture
async def flow(client: AsyncClient) -> str:
    await client.flows.put("note", FLOW)
    return "note"


class TestTriggers:
    async def test_each_message_starts_a_run(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await write(kafka, topic, *(told(f"m{n}", n) for n in range(30)))
        made = await client.triggers.put("notes", topic, flow, INPUTS, start="earliest")
        assert made["created"]
        views = await ended(client, 30)
        assert [view["output"] for view in views] == [{"said": f"m{n}!", "n": n} for n in range(30)]
        assert views[3]["labels"] == {"trigger": "notes", "message": f"{topic}:0:3"}
        assert views[3]["key"], "what it uses counts on the key that made the trigger"
        assert await tally(client, lambda t: t["started"] == 30) == {
            "started": 30, "doubled": 0, "passed": 0, "dead": 0,
        }  # fmt: skip
        lag = await until(lambda: client.triggers.lag("notes"), lambda lag: lag["lag"] == 0)
        assert lag["partitions"] == [{"partition": 0, "lag": 0}]

    async def test_what_the_filter_does_not_want_is_passed_over(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await write(kafka, topic, *(told(n=n) for n in range(10)))
        await client.triggers.put(
            "notes", topic, flow, INPUTS, start="earliest", filter="${ message.value.n % 2 == 0 }"
        )
        assert [view["inputs"]["n"] for view in await ended(client, 5)] == [0, 2, 4, 6, 8]
        assert (await tally(client, lambda t: t["passed"] == 5))["started"] == 5

    async def test_poison_goes_to_the_dead_letters_with_its_reason_and_blocks_nothing(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        dead = fresh_topic(kafka)
        poison = [b"{", b"\xff\xfe", b"[" * 100_000, None, {"n": 1}, told(n="many"), {"text": "a\x00b", "n": "x"}]
        await write(kafka, topic, told(n=1), *poison, told(n=2), key=b"k")
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest", dead_letters=dead)
        assert [view["inputs"]["n"] for view in await ended(client, 2)] == [1, 2]
        assert (await tally(client, lambda t: t["dead"] == len(poison)))["started"] == 2
        letters = records_of(kafka, dead, 0)
        assert {(key, value) for key, value, _ in letters} == {
            (b"k", raw if isinstance(raw, bytes | None) else json.dumps(raw).encode()) for raw in poison
        }
        reasons = [dict(headers)["interplay-reason"].decode() for _, _, headers in letters]
        assert all(reasons)
        assert {dict(headers)["interplay-message"].decode() for _, _, headers in letters} == {
            f"{topic}:0:{offset}" for offset in range(1, len(poison) + 1)
        }

    async def test_two_messages_that_are_the_same_start_one_run(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await write(kafka, topic, told("a", 1), told("b", 1), told("c", 2))
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest", dedupe="$message.value.n")
        views = await ended(client, 2)
        assert [view["output"]["said"] for view in views] == ["a!", "c!"]
        assert (await tally(client, lambda t: t["doubled"] == 1))["started"] == 2

    async def test_a_paused_one_reads_on_where_it_was(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest")
        await write(kafka, topic, told(n=1))
        await ended(client, 1)
        assert (await client.triggers.pause("notes"))["paused"]
        await write(kafka, topic, told(n=2))
        await until(lambda: client.triggers.lag("notes"), lambda lag: lag["lag"] == 1)
        assert not (await client.triggers.resume("notes"))["paused"]
        assert [view["inputs"]["n"] for view in await ended(client, 2)] == [1, 2]

    async def test_a_replay_starts_runs_anew(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await write(kafka, topic, told(n=1), told(n=2))
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest")
        await ended(client, 2)
        await client.triggers.replay("notes", offset=1)
        assert [view["inputs"]["n"] for view in await ended(client, 3)] == [1, 2, 2]
        await client.triggers.replay("notes")
        assert [view["inputs"]["n"] for view in await ended(client, 5)] == [1, 1, 2, 2, 2]

    async def test_it_waits_while_too_many_runs_are_queued(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str, machine: Machine
    ) -> None:
        await write(kafka, topic, *(told(n=n) for n in range(40)))
        machine.worker.stop()
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest", batch=10, most_queued=20)
        trigger = await until(lambda: client.triggers.get("notes"), lambda trigger: trigger["problem"] is not None)
        assert "20 runs of its project are queued" in trigger["problem"]
        assert trigger["tally"]["started"] == 20


class TestTopicsThatChange:
    async def test_one_that_is_made_anew_starts_runs_again(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await write(kafka, topic, told(n=1), told(n=2))
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest")
        await ended(client, 2)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.delete_topics([topic])[topic].result(30)
        await until(
            lambda: asyncio.to_thread(lambda: admin.list_topics(timeout=10).topics), lambda topics: topic not in topics
        )
        fresh_topic(kafka, name=topic)
        await write(kafka, topic, told(n=3), told(n=4), told(n=5))
        assert [view["inputs"]["n"] for view in await ended(client, 5)] == [1, 2, 3, 4, 5]

    async def test_of_a_partition_that_is_added_nothing_is_missed(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await client.triggers.put("notes", topic, flow, INPUTS)
        await until(lambda: client.triggers.lag("notes"), lambda lag: lag["lag"] == 0)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        admin.create_partitions([NewPartitions(topic, 8)])[topic].result(30)
        await write(kafka, topic, *(told(n=n) for n in range(24)))
        await client.triggers.pause("notes")  # to hear of the partitions now, and not in some minutes
        await client.triggers.resume("notes")
        assert [view["inputs"]["n"] for view in await ended(client, 24)] == list(range(24))


class TestWhatIsWrong:
    async def test_a_dead_letter_that_is_too_large_for_its_topic_blocks_nothing(
        self, client: AsyncClient, kafka: KafkaBroker, flow: str
    ) -> None:
        topic = fresh_topic(kafka, **{"max.message.bytes": "6000000"})
        dead = fresh_topic(kafka)
        await write(kafka, topic, b"{" + os.urandom(5_000_000), told(n=1))  # of which compression makes nothing less
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest", dead_letters=dead)
        assert len(await ended(client, 1)) == 1
        await tally(client, lambda t: t["dead"] == 1)
        ((key, value, headers),) = records_of(kafka, dead, 0)
        assert (key, value) == (None, None)
        assert dict(headers)["interplay-left-out"].startswith(b"5000001 bytes")
        assert dict(headers)["interplay-message"].decode() == f"{topic}:0:0"

    async def test_is_told_when_it_is_made(self, client: AsyncClient, flow: str, topic: str) -> None:
        for wrong, words in (
            ({"flow": "nowhere"}, "nowhere"),
            ({"topic": "interplay.runs.v1"}, "not for flows"),
            ({"filter": "${ message.valu }"}, "valu"),
            ({"filter": "$message.topic"}, "true or false"),
            ({"dead_letters": topic}, "never end"),
            ({"channel": "nope"}, "nope"),
        ):
            body = {"topic": topic, "flow": flow, "inputs": INPUTS, **wrong}
            with pytest.raises(ApiError) as refused:
                await client.triggers.put("notes", **body)
            assert words in str(refused.value)
        assert (await client.triggers.list())["items"] == []

    async def test_a_topic_that_is_not_there_is_its_problem_until_it_is(
        self, client: AsyncClient, kafka: KafkaBroker, flow: str
    ) -> None:
        await client.triggers.put("notes", "made-later", flow, INPUTS, start="earliest")
        trigger = await until(lambda: client.triggers.get("notes"), lambda trigger: trigger["problem"] is not None)
        assert "'made-later'" in trigger["problem"]
        fresh_topic(kafka, name="made-later")
        await write(kafka, "made-later", told(n=1))
        assert len(await ended(client, 1)) == 1
        await until(lambda: client.triggers.get("notes"), lambda trigger: trigger["problem"] is None)

    async def test_dead_letters_that_cannot_be_written_hold_it_up(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str, flow: str
    ) -> None:
        await write(kafka, topic, b"poison", told(n=1))
        await client.triggers.put("notes", topic, flow, INPUTS, start="earliest", dead_letters="letters-made-later")
        trigger = await until(lambda: client.triggers.get("notes"), lambda trigger: trigger["problem"] is not None)
        assert "'letters-made-later'" in trigger["problem"]
        assert trigger["tally"]["dead"] == 0
        fresh_topic(kafka, name="letters-made-later")
        assert (await tally(client, lambda t: t["dead"] == 1))["started"] + (await client.triggers.get("notes"))[
            "tally"
        ]["doubled"] == 1
        assert len(await ended(client, 1)) == 1

    async def test_without_a_broker_it_is_refused_in_words(self, database_url: str, tmp_path: Any) -> None:
        settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0)
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            with pytest.raises(ApiError) as refused:
                await client.triggers.put("notes", "t", "f")
            assert "INTERPLAY_KAFKA_BOOTSTRAP" in str(refused.value)

    async def test_only_who_saw_it_may_change_it(
        self, client: AsyncClient, machine: Machine, topic: str, flow: str
    ) -> None:
        await client.triggers.put("notes", topic, flow, INPUTS)
        headers = {"Authorization": f"Bearer {machine.token}"}
        async with httpx.AsyncClient(base_url=f"{machine.url}/api/v1", headers=headers, trust_env=False) as http:
            seen = (await http.get("/triggers/notes")).headers["etag"]
            body = {"topic": topic, "flow": flow, "inputs": INPUTS, "batch": 7}
            changed = await http.put("/triggers/notes", json=body, headers={"If-Match": seen})
            again = await http.put("/triggers/notes", json={**body, "batch": 8}, headers={"If-Match": seen})
        assert (changed.status_code, again.status_code) == (200, 409)

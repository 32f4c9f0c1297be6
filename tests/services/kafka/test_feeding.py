"""Models fed by topics of a real broker: answers in order, accounted as any call, and poison that blocks nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from interplay.client import ApiError, AsyncClient
from tests.kafka_server import fresh_topic, records_of
from tests.provider_server import ProviderServer, provider_server
from tests.services.kafka.test_triggers import tally, until, write
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(180)
ASK = {"text": "$message.value.text"}


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with provider_server() as made:
        yield made


@pytest.fixture
async def models(client: AsyncClient, provider: ProviderServer) -> None:
    await client.connections.put("there", {"base_url": provider.url})
    for task in ("chat", "embed", "classify"):
        await client.models.put(f"my-{task}", {"task": task, "deployments": [{"connection": "there", "model": "m"}]})


@pytest.fixture
def out(kafka: KafkaBroker) -> str:
    return fresh_topic(kafka)


async def feed(client: AsyncClient, topic: str, out: str, model: str, **more: Any) -> Any:
    output = {"topic": out, "value": {"n": "$message.value.n", "answer": "$answer"}}
    body = {"request": ASK, "output": output, "start": "earliest", **more}
    return await client.triggers.put("notes", topic, model=model, **body)


def texts(count: int) -> list[Any]:
    return [{"text": f"text {n}", "n": n} for n in range(count)]


class TestFeeding:
    async def test_texts_become_vectors_in_their_order_with_few_calls(
        self, client: AsyncClient, kafka: KafkaBroker, provider: ProviderServer, models: None, topic: str, out: str
    ) -> None:
        await write(kafka, topic, *texts(200), key=b"k")
        made = await feed(client, topic, out, "my-embed", together=50)
        assert (made["model"], made["flow"], made["output"]["topic"]) == ("my-embed", None, out)
        assert await tally(client, lambda t: t["started"] == 200)
        records = records_of(kafka, out, 0)
        values = [json.loads(value) for _, value, _ in records]
        assert [value["n"] for value in values] == list(range(200))
        assert values[7] == {"n": 7, "answer": {"vector": [6.0, 1.0]}}
        assert {key for key, _, _ in records} == {b"k"}
        assert len({dict(headers)["idempotency-key"] for _, _, headers in records}) == 200
        assert len(provider.ledger) < 20
        assert (await client.runs.list())["items"] == [], "no runs are made"
        lag = await until(lambda: client.triggers.lag("notes"), lambda lag: lag["lag"] == 0)
        assert lag["lag"] == 0

    async def test_what_they_use_counts_on_the_key_that_made_the_trigger(
        self, client: AsyncClient, kafka: KafkaBroker, models: None, topic: str, out: str
    ) -> None:
        await write(kafka, topic, *texts(3))
        made = await feed(client, topic, out, "my-chat", request={"prompt": "$message.value.text", "max_tokens": 5})
        await tally(client, lambda t: t["started"] == 3)

        async def records() -> Any:
            return [one for one in (await client.usage.records())["items"] if one["alias"] == "my-chat"]

        used = await until(records, lambda found: len(found) == 3)
        assert {one["key_id"] for one in used} == {made["key"]}
        assert {one["usage"]["input_tokens"] for one in used} == {7}
        assert {one["run_id"] for one in used} == {None}

    async def test_a_chat_model_may_sort_messages_by_labels_and_refusals_are_dead_letters(
        self, client: AsyncClient, kafka: KafkaBroker, provider: ProviderServer, models: None, topic: str, out: str
    ) -> None:
        dead = fresh_topic(kafka)
        provider.play({"status": 400, "text": "I will not read that."}, {"text": json.dumps({"label": "praise"})})
        await write(kafka, topic, b"{", *texts(3))
        request = {**ASK, "labels": ["praise", "complaint"]}
        await feed(client, topic, out, "my-chat", request=request, task="classify", at_once=1, dead_letters=dead)
        assert (await tally(client, lambda t: t["dead"] == 2))["started"] == 2
        found = [json.loads(value)["answer"]["label"] for _, value, _ in records_of(kafka, out, 0)]
        assert found == ["praise", "praise"]
        reasons = [dict(headers)["interplay-reason"].decode() for _, _, headers in records_of(kafka, dead, 0)]
        assert any("no JSON" in reason for reason in reasons)
        assert any("I will not read that" in reason for reason in reasons)

    async def test_a_model_that_is_busy_holds_it_up_and_loses_nothing(
        self, client: AsyncClient, kafka: KafkaBroker, provider: ProviderServer, models: None, topic: str, out: str
    ) -> None:
        provider.play({"status": 429, "headers": {"retry-after": "1"}})
        await write(kafka, topic, *texts(5))
        await feed(client, topic, out, "my-classify")
        await until(lambda: client.triggers.get("notes"), lambda trigger: trigger["problem"] is not None)
        provider.play({})
        assert (await tally(client, lambda t: t["started"] == 5))["dead"] == 0
        await until(lambda: client.triggers.get("notes"), lambda trigger: trigger["problem"] is None)
        assert len(records_of(kafka, out, 0)) == 5

    async def test_what_cannot_work_is_told_when_it_is_made(
        self, client: AsyncClient, models: None, topic: str, out: str
    ) -> None:
        for wrong, words in (
            ({"model": "my-embd"}, "my-embed"),
            ({"request": {"txt": "a"}}, "Did you mean 'text'"),
            ({"output": {"topic": topic}}, "of their own"),
            ({"output": {"topic": out, "value": "$answer.vectr"}}, "vectr"),
            ({"task": "chat"}, "not for chat"),
            ({"flow": "note"}, "one of them"),
        ):
            body = {"topic": topic, "model": "my-embed", "request": ASK, "output": {"topic": out}, **wrong}
            with pytest.raises(ApiError) as refused:
                await client.triggers.put("notes", **body)
            assert words in str(refused.value), wrong
        assert (await client.triggers.list())["items"] == []

"""`emit` to a topic, over a real broker: what stands in the topic, and what a flow is told when nothing can."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from interplay.client import ApiError, AsyncClient
from interplay.services.all_in_one.machine import run_machine
from interplay.settings import load_settings
from tests.kafka_server import fresh_topic, records_of
from tools.kafka import KafkaBroker

FLOW = """
flow: sink
inputs: {{x: integer}}
steps:
  out: {{emit: {emit}{retry}}}
output: $out
"""


async def run(client: AsyncClient, emit: str, x: int = 1, retry: str = "") -> Any:
    await client.flows.put("sink", FLOW.format(emit=emit, retry=retry))
    return await client.runs.create("sink", {"x": x}, wait=30)


class TestEmitToATopic:
    async def test_the_step_is_done_when_the_broker_has_the_record(
        self, client: AsyncClient, kafka: KafkaBroker, topic: str
    ) -> None:
        emit = f"{{topic: {topic}, key: k7, value: {{n: $inputs.x, ö: [1]}}, headers: {{kind: review, Weight: 3}}}}"
        view = await run(client, emit, 5)
        assert view["output"] == {"topic": topic, "partition": 0, "offset": 0}
        ((key, value, headers),) = records_of(kafka, topic, 0)
        assert (key, json.loads(value)) == (b"k7", {"n": 5, "ö": [1]})
        found = dict(headers)
        assert found["interplay-run"].decode() == view["run"]
        assert (found["interplay-step"], found["content-type"]) == (b"out", b"application/json")
        assert (found["kind"], found["Weight"]) == (b"review", b"3")
        assert found["idempotency-key"].decode().startswith(view["run"])
        version, trace, span, flags = found["traceparent"].decode().split("-")
        assert (version, trace, len(span), flags) == ("00", view["run"].replace("-", ""), 16, "01")

    async def test_a_key_may_be_any_value(self, client: AsyncClient, kafka: KafkaBroker, topic: str) -> None:
        await run(client, f"{{topic: {topic}, key: $inputs.x, value: true}}", 9)
        assert [(key, value) for key, value, _ in records_of(kafka, topic, 0)] == [(b"9", b"true")]

    async def test_a_topic_that_is_not_there_is_told(self, client: AsyncClient) -> None:
        view = await run(client, "{topic: nobody-made-it, value: 1}")
        assert view["error"]["failure"]["code"] == "not_found"
        assert "'nobody-made-it'" in view["error"]["failure"]["detail"]

    @pytest.mark.parametrize("name", ["interplay.runs.v1", "no name", "ä", "x" * 250])
    async def test_a_name_that_cannot_be_is_refused_when_the_flow_is_saved(
        self, client: AsyncClient, name: str
    ) -> None:
        with pytest.raises(ApiError) as refused:
            await client.flows.put("sink", FLOW.format(emit=f"{{topic: '{name}', value: 1}}", retry=""))
        assert name[:40] in str(refused.value)

    async def test_and_refused_when_it_is_only_known_then(self, client: AsyncClient) -> None:
        view = await run(client, "{topic: '${ \"interplay.\" + string(inputs.x) }', value: 1}")
        assert view["error"]["failure"]["code"] == "bad_request"
        assert "are not for flows" in view["error"]["failure"]["detail"]

    async def test_a_record_that_is_too_large_is_told(self, client: AsyncClient, topic: str) -> None:
        source = (
            f"flow: big\ninputs: {{text: string}}\nsteps:\n  out: {{emit: {{topic: {topic}, value: $inputs.text}}}}"
        )
        await client.flows.put("big", source)
        view = await client.runs.create("big", {"text": secrets.token_hex(2_500_000)}, wait=30)
        assert view["error"]["failure"]["code"] == "bad_request"
        assert "is larger than" in view["error"]["failure"]["detail"]


class TestWithoutABroker:
    async def test_the_step_says_what_is_missing(self, database_url: str, tmp_path: Path) -> None:
        settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0)
        async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
            view = await run(client, "{topic: results, value: 1}")
        assert "INTERPLAY_KAFKA_BOOTSTRAP" in view["error"]["failure"]["advice"]


class TestAwayBroker:
    async def test_a_retry_bridges_a_restart_and_writes_once_for_each_try(
        self, database_url: str, tmp_path: Path
    ) -> None:
        broker = KafkaBroker(tmp_path / "kafka")
        broker.start()
        try:
            topic = fresh_topic(broker)
            broker.kill()
            settings = load_settings(
                home=tmp_path / "home", database_url=database_url, port=0, kafka_bootstrap=broker.bootstrap
            )
            async with (
                run_machine(settings, announce=False) as machine,
                AsyncClient(machine.url, machine.token) as client,
            ):
                await client.flows.put("sink", FLOW.format(emit=f"{{topic: {topic}, value: 1}}", retry=""))
                started = await client.runs.create("sink", {"x": 1})
                await asyncio.to_thread(broker.start)
                async for _ in client.runs.follow(started["run"]):
                    """Until it has ended."""
                view = await client.runs.get(started["run"])
            assert view["status"] == "succeeded"
            assert [value for _, value, _ in records_of(broker, topic, 0)] == [b"1"]
        finally:
            broker.stop()

"""Triggers over a real broker that read Avro by the schemas of a registry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interplay.client import ApiError, AsyncClient
from interplay.services.all_in_one.machine import run_machine
from interplay.settings import load_settings
from tests.conformance.test_value_decoder import Registry, avro, framed, registry
from tests.kafka_server import fresh_topic, records_of
from tests.services.kafka.test_triggers import FLOW, INPUTS, ended, tally, until, write
from tools.kafka import KafkaBroker

__all__ = ["registry"]
pytestmark = pytest.mark.timeout(180)
MAPPED = {"text": "$message.value.text", "n": "$message.value.stars"}


@pytest.fixture
async def reading(
    database_url: str, tmp_path: Path, kafka: KafkaBroker, registry: tuple[Registry, str]
) -> AsyncIterator[AsyncClient]:
    settings = load_settings(
        home=tmp_path / "home",
        database_url=database_url,
        port=0,
        kafka_bootstrap=kafka.bootstrap,
        schema_registry_url=registry[1],
    )
    async with (
        run_machine(settings, announce=False) as machine,
        AsyncClient(machine.url, machine.token) as client,
    ):
        yield client


def review(text: str, stars: int) -> bytes:
    return framed(1, avro({"text": text, "stars": stars}))


class TestSchemas:
    async def test_values_start_runs_and_what_no_schema_tells_is_a_dead_letter(
        self, reading: AsyncClient, kafka: KafkaBroker, topic: str
    ) -> None:
        dead, unknown = fresh_topic(kafka), framed(77, b"x")
        await reading.flows.put("note", FLOW)
        await write(kafka, topic, review("a", 1), unknown, b'{"text": "json"}', review("b", 2))
        await reading.triggers.put("notes", topic, "note", MAPPED, format="avro", start="earliest", dead_letters=dead)
        assert [view["inputs"] for view in await ended(reading, 2)] == [{"text": "a", "n": 1}, {"text": "b", "n": 2}]
        await tally(reading, lambda t: t["dead"] == 2)
        letters = {
            value: dict(headers)["interplay-reason"].decode() for _, value, headers in records_of(kafka, dead, 0)
        }
        assert "no schema 77" in letters[unknown]

    async def test_a_registry_that_is_away_holds_it_up_and_loses_nothing(
        self, reading: AsyncClient, kafka: KafkaBroker, topic: str, registry: tuple[Registry, str]
    ) -> None:
        registry[0].status = 503
        await reading.flows.put("note", FLOW)
        await write(kafka, topic, review("a", 1))
        await reading.triggers.put("notes", topic, "note", MAPPED, format="avro", start="earliest")
        told = await until(lambda: reading.triggers.get("notes"), lambda trigger: trigger["problem"] is not None)
        assert "schema registry" in told["problem"]
        registry[0].status = None
        assert len(await ended(reading, 1)) == 1
        await until(lambda: reading.triggers.get("notes"), lambda trigger: trigger["problem"] is None)

    async def test_a_server_without_a_registry_says_so(self, client: AsyncClient, topic: str) -> None:
        await client.flows.put("note", FLOW)
        with pytest.raises(ApiError, match="no schema registry"):
            await client.triggers.put("notes", topic, "note", INPUTS, format="avro")

"""`interplay migrate` makes Interplay's own topics at a real Kafka, and says what it did not."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from interplay.core.topics_of_ours import HINTS, RUNS, TOPICS, USAGE
from tests.kafka_server import fresh_topic
from tools.kafka import KafkaBroker, free_port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """One of its own: the topics of a platform are there once."""
    made = KafkaBroker(tmp_path / "kafka")
    made.start()
    yield made
    made.stop()


async def migrate(home: Path, database_url: str, bootstrap: str, *options: str) -> tuple[int, dict[str, Any], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interplay.cli", "migrate", "--json", *options,
        env={
            "INTERPLAY_HOME": str(home), "INTERPLAY_DATABASE_URL": database_url,
            "INTERPLAY_KAFKA_BOOTSTRAP": bootstrap, "INTERPLAY_KAFKA_REPLICATION": "2",
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(90):
        out, error = await process.communicate()
    return process.returncode or 0, json.loads(out or b"{}"), error.decode()


def states(told: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in told["topics"]}


class TestMigrate:
    async def test_what_is_missing_is_made_and_what_is_there_stays(
        self, broker: KafkaBroker, database_url: str, tmp_path: Path
    ) -> None:
        fresh_topic(broker, 2, USAGE.name)
        code, told, _ = await migrate(tmp_path, database_url, broker.bootstrap, "--check")
        assert code == 1
        expected = {HINTS.name: "missing", RUNS.name: "missing", USAGE.name: "different"}
        assert states(told) == expected
        assert "2 partitions instead of 6" in told["topics"][2]["found"]

        code, told, _ = await migrate(tmp_path, database_url, broker.bootstrap)
        assert code == 0
        assert states(told) == {HINTS.name: "made", RUNS.name: "made", USAGE.name: "different"}
        there = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
        assert {one.name: len(there[one.name].partitions) for one in TOPICS} == {
            HINTS.name: HINTS.partitions, RUNS.name: RUNS.partitions, USAGE.name: 2,
        }  # fmt: skip

        code, told, _ = await migrate(tmp_path, database_url, broker.bootstrap, "--check")
        assert code == 0
        assert states(told) == {HINTS.name: "there", RUNS.name: "there", USAGE.name: "different"}

    async def test_a_broker_that_is_away_is_told_in_words_and_the_schema_is_done(
        self, database_url: str, tmp_path: Path
    ) -> None:
        code, _, error = await migrate(tmp_path, database_url, f"127.0.0.1:{free_port()}")
        assert code not in (0, 1)
        assert "broker does not answer" in error

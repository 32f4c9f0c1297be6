"""What stands on the topic of runs, for tests that ask whether all of it is there."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from uuid import UUID

import asyncpg
from confluent_kafka.admin import AdminClient

from interplay.adapters.kafka.event_log import event_of
from interplay.core.runs.log import LoggedEvent
from interplay.core.topics_of_ours import RUNS, named
from tests.kafka_server import HasAddress, records_of


def logged_events(broker: HasAddress, namespace: str) -> dict[UUID, list[LoggedEvent]]:
    """The events of each run in the order in which they stand on the topic, doubles and all."""
    topic = named(RUNS, namespace)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    partitions = admin.list_topics(timeout=10).topics[topic].partitions
    found: dict[UUID, list[LoggedEvent]] = defaultdict(list)
    for partition in partitions:
        for _, value, _ in records_of(broker, topic, partition):
            event = event_of(value)
            assert event is not None
            found[event.run_id].append(event)
    return found


def firsts(events: list[LoggedEvent]) -> list[int]:
    """Their numbers as a reader has them that drops what is not above the last one."""
    numbers: list[int] = []
    for event in events:
        if not numbers or event.seq > numbers[-1]:
            numbers.append(event.seq)
    return numbers


async def log_problems(url: str, broker: HasAddress, namespace: str) -> list[str]:
    """What of the journals of runs that somebody listens to is not on the topic as it should be, and what is on it that
    is in no journal."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            "select run_id, array_agg(j.seq order by j.seq) as seqs from journal j join run r using (run_id)"
            " where r.pub_seq >= 0 group by 1"
        )
        kinds: Any = {
            (row["run_id"], row["seq"]): (row["kind"], row["step_key"])
            for row in await connection.fetch("select run_id, seq, kind, step_key from journal")
        }
        behind = await connection.fetchval("select count(*) from run where pub_seq >= 0 and pub_seq <> seq")
    finally:
        await connection.close()
    logged = logged_events(broker, namespace)
    problems = [f"{behind} runs are not marked as published"] if behind else []
    for row in rows:
        numbers = firsts(logged.get(row["run_id"], []))
        if numbers != list(row["seqs"]):
            problems.append(f"run {row['run_id']}: {numbers} instead of {list(row['seqs'])}")
    strays = [
        f"{event.identity} was never committed so: {event.kind.wire_name} {event.step}"
        for run_id, events in logged.items()
        for event in events
        if kinds.get((run_id, event.seq)) != (event.kind, event.step)
    ]
    return problems + strays

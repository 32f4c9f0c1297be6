"""Events through a real Kafka: topic, trigger, run, sink, topic; messages made runs alone; models fed by a topic.

One broker of one node, one `interplay up`, all on the machine's cores together with the reader that counts.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.harness.loading import build, upstream
from benchmarks.harness.ours import Ours, ours
from benchmarks.harness.result import Result
from benchmarks.peers.peer import NotHad
from interplay.client import AsyncClient
from tools.kafka import KafkaBroker, KafkaMissing, free_port

PARTITIONS = 4
WARM = 500  # messages whose time does not count
FLOW = """
flow: pass
inputs: {n: integer}
steps:
  doubled: {set: {n: "${ inputs.n * 2 }"}}
  out: {emit: {topic: TOPIC, key: $inputs.n, value: {n: $doubled.n}}}
"""


EMBED: dict[str, Any] = {"model": "minilm", "request": {"text": "$message.value.text"}, "batch": 500}
CHAT: dict[str, Any] = {"model": "stub", "request": {"prompt": "$message.value.text"}, "batch": 500, "at_once": 64}


async def run(quick: bool) -> Result:
    result = Result("kafka")
    rounds, events, ingested = (3, 8_000, 20_000) if quick else (3, 30_000, 60_000)
    through: list[float] = []
    alone: list[float] = []
    vectors: list[float] = []
    chats: list[float] = []
    embedded, chatted = (2_000, 4_000) if quick else (6_000, 12_000)
    with tempfile.TemporaryDirectory(prefix="bench-kafka-", ignore_cleanup_errors=True) as folder:
        try:
            program, broker = build(), KafkaBroker(Path(folder))
        except KafkaMissing as missing:
            raise NotHad(str(missing)) from None
        broker.start()
        try:
            for number in range(rounds):
                with _machine(broker, "1") as machine:
                    through.append(await _through(machine, broker, number, events))
                with _machine(broker, "0") as machine:
                    alone.append(await _ingest(machine, broker, number, ingested))
                    vectors.append(await _fed(machine, broker, f"embed-{number}", embedded, EMBED))
                async with upstream(program, free_port()) as (address, _):
                    with _machine(broker, "0") as machine:
                        chats.append(await _fed(machine, broker, f"chat-{number}", chatted, CHAT, address))
        finally:
            broker.stop()
    result.figure("interplay", "topic to topic: trigger, run of two steps, sink", "events/s", through)
    result.figure("interplay", "messages made runs, nobody executing them", "events/s", alone)
    result.figure("interplay", "topic to topic: embedded by the model of this machine", "events/s", vectors)
    result.figure("interplay", "topic to topic: answered by a scripted chat upstream", "events/s", chats)
    result.at_least("events/s, topic to topic", sorted(through)[len(through) // 2], 2_000)
    result.at_least("events/s, made runs", sorted(alone)[len(alone) // 2], 10_000)
    result.notes.append("All messages are in the topic before the trigger begins: it is the rate of catching up.")
    return result


def _machine(broker: KafkaBroker, workers: str) -> AbstractContextManager[Ours]:
    return ours("--workers", workers, INTERPLAY_KAFKA_BOOTSTRAP=broker.bootstrap)


def _filled(broker: KafkaBroker, name: str, count: int) -> str:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(30)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 20})
    for number in range(count):
        producer.produce(name, json.dumps({"n": number, "text": "x" * 200}).encode(), b"%d" % number)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush(60)
    return name


async def _trigger(client: AsyncClient, topic: str) -> None:
    inputs = {"n": "$message.value.n"}
    await client.triggers.put("events", topic, "pass", inputs, start="earliest", batch=1000, most_queued=10_000_000)


async def _fed(
    machine: Ours, broker: KafkaBroker, name: str, events: int, feed: dict[str, Any], address: str | None = None
) -> float:
    """As `_through`, of a model without a flow."""
    topic = await asyncio.to_thread(_filled, broker, name, events)
    out = await asyncio.to_thread(_filled, broker, f"{name}-out", 0)
    async with AsyncClient(machine.url, machine.key) as client:
        if address is not None:
            await client.connections.put("stub", {"base_url": f"http://{address}/v1"})
            await client.models.put("stub", {"task": "chat", "deployments": [{"connection": "stub", "model": "stub"}]})
        await client.triggers.put(name, topic, output={"topic": out}, start="earliest", **feed)
        times = sorted(await asyncio.to_thread(_read, broker, out, events))
        await client.triggers.delete(name)
    return (events - WARM) / (times[-1] - times[WARM])


async def _through(machine: Ours, broker: KafkaBroker, number: int, events: int) -> float:
    """By the times that the broker's records have: from the first after the warm ones to the last."""
    topic = await asyncio.to_thread(_filled, broker, f"in-{number}", events)
    out = await asyncio.to_thread(_filled, broker, f"out-{number}", 0)
    async with AsyncClient(machine.url, machine.key) as client:
        await client.flows.put("pass", FLOW.replace("TOPIC", out))
        await _trigger(client, topic)
        times = sorted(await asyncio.to_thread(_read, broker, out, events))
    return (events - WARM) / (times[-1] - times[WARM])


def _read(broker: KafkaBroker, topic: str, count: int) -> list[float]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "count", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    times: list[float] = []
    deadline = time.monotonic() + 300
    while len(times) < count:
        if time.monotonic() > deadline:
            raise NotHad(f"only {len(times)} of {count} events came through")
        times += [message.timestamp()[1] / 1000 for message in consumer.consume(1000, 1.0) if message.error() is None]
    consumer.close()
    return times


async def _ingest(machine: Ours, broker: KafkaBroker, number: int, events: int) -> float:
    """From the moment at which the tally says that it has begun to the one at which it says that all are runs."""
    topic = await asyncio.to_thread(_filled, broker, f"ingest-{number}", events)
    async with AsyncClient(machine.url, machine.key) as client:
        await client.flows.put("pass", FLOW.replace("TOPIC", topic))
        await _trigger(client, topic)
        first: tuple[float, int] | None = None
        deadline = time.monotonic() + 300
        while True:
            started = (await client.triggers.get("events"))["tally"]["started"]
            now = time.monotonic()
            if first is None and started > 0:
                first = (now, started)
            if started >= events and first is not None:
                return (events - first[1]) / (now - first[0])
            if now > deadline:
                raise NotHad(f"only {started} of {events} messages became runs")
            await asyncio.sleep(0.02)

"""What a cluster is under while it is troubled: runs by its APIs, calls by its gateways, messages by its Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from interplay.adapters.kafka.connection import KafkaConnection
from interplay.adapters.kafka.producer import KafkaProducer
from interplay.core.failures import StepFailure
from interplay.ports.topic_writer import TopicRecord

PAUSE = 0.02  # seconds between two tries
PATIENCE = 60.0


@dataclass
class Seen:
    """What callers saw. `moved`: connections that a gateway refused, so that the next one was asked; `early`: a gateway
    said that it waits for its database, and so the next one was asked; `broken`: calls that broke off before their
    end; `refused`: answers that are an error."""

    runs: list[str] = field(default_factory=list)
    retries: int = 0
    calls: int = 0
    streams: int = 0
    moved: int = 0
    early: int = 0
    broken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)


class Load:
    """Callers that go on until `stop`. A run counts once it is acknowledged, a message once the broker has it."""

    def __init__(self, apis: Sequence[str], gateways: Sequence[str], key: str, dice: random.Random) -> None:
        self._apis = list(apis)
        self._gateways = list(gateways)
        self._headers = {"Authorization": f"Bearer {key}"}
        self._dice = dice
        self._stopping = asyncio.Event()
        self._numbers = itertools.count(1)
        self._keys = f"load-{dice.getrandbits(40):x}"
        self.seen = Seen()

    def stop(self) -> None:
        self._stopping.set()

    def client(self, *, keep: bool = False) -> httpx.AsyncClient:
        """`keep`: connections are used again, or each request has its own."""
        limits = httpx.Limits(max_keepalive_connections=20 if keep else 0)
        return httpx.AsyncClient(headers=self._headers, trust_env=False, timeout=30, limits=limits)

    @contextlib.asynccontextmanager
    async def going(self, *callers: Any) -> AsyncIterator[Seen]:
        """While the body runs. What a caller meets that it cannot explain is raised at the end."""
        tasks = [asyncio.create_task(caller) for caller in callers]
        try:
            yield self.seen
        finally:
            self.stop()
            await asyncio.gather(*tasks)

    async def start_runs(self, flow: str, pace: float, **inputs: Any) -> None:
        """One after the other, each under a key of its own: whichever API answers, it starts once."""
        async with self.client() as http:
            while not self._stopping.is_set():
                number = next(self._numbers)
                body = {"flow": flow, "inputs": {**inputs, "n": number}}
                headers = {"Idempotency-Key": f"{self._keys}-{number}"}
                for api in self._turns(self._apis):
                    answer = None
                    with contextlib.suppress(httpx.TransportError):
                        answer = await http.post(f"{api}/api/v1/runs", json=body, headers=headers)
                    if answer is not None and answer.status_code < 300:
                        self.seen.runs.append(answer.json()["run"])
                        break
                    assert answer is None or answer.status_code == 503, answer.text
                    self.seen.retries += 1
                    await asyncio.sleep(PAUSE)
                await self.pause(pace)

    async def call(self, model: str, pace: float, *, keep: bool = False) -> None:
        """Calls of a model, every third as a stream. Only a refused connection is tried at the next gateway."""
        async with self.client(keep=keep) as http:
            while not self._stopping.is_set():
                body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
                stream = self._dice.random() < 1 / 3
                for gateway in self._turns(self._gateways):
                    if await self._answered(http, gateway, {**body, "stream": stream}):
                        break
                    await asyncio.sleep(PAUSE)
                await self.pause(pace)

    async def _answered(self, http: httpx.AsyncClient, gateway: str, body: dict[str, Any]) -> bool:
        """False: nobody took the call."""
        try:
            async with http.stream("POST", f"{gateway}/v1/chat/completions", json=body) as answer:
                said = (await answer.aread()).decode()
        except httpx.ConnectError:
            self.seen.moved += 1
            return False
        except httpx.TransportError as broken:
            self.seen.broken.append(f"{gateway}: {type(broken).__name__} {broken}")
            return True
        whole = "data: [DONE]" in said if body["stream"] else '"choices"' in said
        if answer.status_code == 200 and whole:
            self.seen.calls += 1
            self.seen.streams += body["stream"]
        elif answer.status_code == 503 and "does not work yet" in said:
            self.seen.early += 1
            return False
        else:
            self.seen.refused.append(f"{gateway}: {answer.status_code} {said[-300:]}")
        return True

    async def write(self, bootstrap: str, topic: str, pace: float) -> None:
        """Messages `{"n": 1}`, `{"n": 2}` and so on; one that the broker did not take in time is nobody's."""
        producer = KafkaProducer(KafkaConnection(bootstrap), patience=PATIENCE)
        under_way: set[asyncio.Task[None]] = set()

        async def send(number: int) -> None:
            with contextlib.suppress(StepFailure):
                record = TopicRecord(topic, json.dumps({"n": number}).encode(), b"%d" % (number % 7))
                place = await producer.send(record)
                self.seen.messages.add(f"{topic}:{place.partition}:{place.offset}")

        while not self._stopping.is_set():
            task = asyncio.create_task(send(next(self._numbers)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await self.pause(pace)
        await asyncio.gather(*under_way)
        await producer.close()

    def _turns(self, places: Sequence[str]) -> itertools.cycle[str]:
        """One at random, then the others in turn."""
        first = self._dice.randrange(len(places))
        return itertools.cycle([*places[first:], *places[:first]])

    async def pause(self, pace: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._dice.uniform(0, 2 * pace)):
                await self._stopping.wait()

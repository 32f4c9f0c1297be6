"""The API killed at its edges and under its readers, and callers that race each other (faults 2, 6, 27, 29)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from interplay.adapters.postgres.failpoints import Failpoint
from interplay.client import AsyncClient
from interplay.client.errors import ClientError
from interplay.core.errors import NotFound
from tests.faults.conftest import Bench, new_id
from tests.faults.test_kills import CHAIN

pytestmark = pytest.mark.timeout(150)
KEY = "key-of-these-tests"
API_POINTS = [p for p in Failpoint if p.value.split("-")[0] in ("create", "signal", "cancel")]
SIGNALLED = """
flow: signalled
inputs: {n: integer}
steps:
  a: {set: {v: "${ inputs.n + 1 }"}}
  go: {wait: {signal: go, within: 1h}, after: [a]}
  b: {set: {v: "${ a.v + 1 }"}, after: [go]}
output: {v: $b.v, go: $go}
"""
APPROVED = """
flow: approved
inputs: {n: integer}
steps:
  ask: {approve: {show: $inputs.n, within: WITHIN, otherwise: reject}}
output: $ask.decision
"""
LONG = """
flow: long
inputs: {n: integer}
steps:
  turns:
    loop:
      carry: 0
      steps: {pause: {wait: 20ms}}
      update: "${ carry + 1 }"
      max: 60
output: $turns.carry
"""


class ApiProcess:
    """`interplay serve api`, ready."""

    def __init__(self, bench: Bench, **settings: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        bench.home.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "INTERPLAY_HOME": str(bench.home),
            "INTERPLAY_DATABASE_URL": bench.url,
            "INTERPLAY_KEY": KEY,
            "INTERPLAY_PORT": str(self.port),
            **settings,
        }
        with (bench.home / "api.log").open("ab") as log:
            command = [sys.executable, "-m", "interplay.cli", "serve", "api"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        bench.workers.append(self.process)  # ended with the workers
        self.url = f"http://127.0.0.1:{self.port}"

    async def ready(self, within: float = 30.0) -> ApiProcess:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(within):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{self.url}/readyz")).status_code == 200:
                        return self
                await asyncio.sleep(0.05)

    @property
    def client(self) -> AsyncClient:
        return AsyncClient(self.url, KEY)


async def http_post(api: ApiProcess, path: str, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}", **more.pop("headers", {})}
    async with httpx.AsyncClient(base_url=f"{api.url}/api/v1", headers=headers, trust_env=False, timeout=20) as http:
        return await http.post(path, **more)


class TestKilledAtItsEdges:
    @pytest.mark.parametrize("point", API_POINTS, ids=lambda point: point.value)
    async def test_the_same_request_again_happens_once(self, bench: Bench, point: Failpoint) -> None:
        healthy = await ApiProcess(bench).ready()
        victim = await ApiProcess(bench, INTERPLAY_FAILPOINT=f"{point.value}:kill").ready()
        noun = point.value.split("-")[0]
        async with healthy.client as client:
            await client.flows.put("signalled", SIGNALLED)
            path, body, run = "/runs", {"flow": "signalled", "inputs": {"n": 1}}, None
            if noun != "create":
                run = (await client.runs.create("signalled", {"n": 1}))["run"]
                path = f"/runs/{run}/{'signals/go' if noun == 'signal' else 'cancel'}"
                body = {"paid": True}
            headers = {"Idempotency-Key": "the-same"}
            with pytest.raises(httpx.TransportError):
                await http_post(victim, path, json=body, headers=headers)
            assert victim.process.wait(10) == -signal.SIGKILL
            answers = [await http_post(healthy, path, json=body, headers=headers) for _ in range(2)]
            assert all(answer.status_code < 300 for answer in answers), [a.text for a in answers]
            run = run or answers[0].json()["run"]
            assert [item["run"] for item in (await client.runs.list())["items"]] == [run]
            bench.created.append(UUID(run))
            bench.worker()
            if noun == "create":
                await client.runs.signal(run, "go", {"paid": True})
            await bench.until_ended()
            view = await client.runs.get(run)
            assert view["status"] == ("cancelled" if noun == "cancel" else "succeeded")
            assert noun == "cancel" or view["output"] == {"v": 3, "go": {"paid": True}}
        await bench.check()


class TestKilledUnderAStream:
    async def test_the_reader_goes_on_elsewhere_and_sees_each_event_once(self, bench: Bench) -> None:
        """I8, whichever instance it asks."""
        bench.worker()
        first, second = await ApiProcess(bench).ready(), await ApiProcess(bench).ready()
        async with first.client as client:
            await client.flows.put("long", LONG)
            run = (await client.runs.create("long", {"n": 1}))["run"]
        bench.created.append(UUID(run))
        seen: list[int] = []
        with contextlib.suppress(httpx.TransportError):
            async for number in sse(first, run, 0):
                seen.append(number)
                if len(seen) == 20:
                    first.process.kill()
        assert first.process.wait(10) == -signal.SIGKILL
        assert 20 <= len(seen) < 100, "it was killed in the middle of the run's events"
        seen += [number async for number in sse(second, run, seen[-1])]
        assert seen == list(range(1, len(seen) + 1))
        await bench.until_ended()
        assert len(await bench.runs.events(1, UUID(run))) == len(seen)
        await bench.check()


async def sse(api: ApiProcess, run: str, after: int) -> AsyncIterator[int]:
    """The numbers of the events of one connection."""
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "text/event-stream", "Last-Event-ID": str(after)}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=20) as http,
        http.stream("GET", f"{api.url}/api/v1/runs/{run}/events", headers=headers) as answer,
    ):
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                yield int(line.removeprefix("id: "))


class TestLongOutage:
    async def test_callers_are_told_and_no_acknowledged_run_is_lost(self, tmp_path: Path) -> None:
        """PostgreSQL is away for longer than any lease; `INTERPLAY_TEST_OUTAGE` seconds, 12 when not set."""
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        bench = Bench(await postgres.start(), tmp_path / "home")
        await bench.open()
        bench.worker()
        api = await ApiProcess(bench).ready()
        accepted: list[str] = []
        refused: list[int] = []
        away = float(os.environ.get("INTERPLAY_TEST_OUTAGE", "12"))
        async with api.client as client:
            await client.flows.put("chain", CHAIN)

        async def send() -> None:
            number = 0
            while True:
                number += 1
                answer = await http_post(api, "/runs", json={"flow": "chain", "inputs": {"n": number}})
                if answer.status_code == 503:
                    assert int(answer.headers["retry-after"]) >= 1
                    refused.append(number)
                else:
                    assert answer.status_code in (200, 202), answer.text
                    accepted.append(answer.json()["run"])
                await asyncio.sleep(0.02)

        sending = asyncio.create_task(send())
        while len(accepted) < 20:
            await asyncio.sleep(0.02)
        await postgres.stop()
        began = time.monotonic()
        while time.monotonic() - began < away or not refused:
            await asyncio.sleep(0.1)
        before = len(accepted)
        await postgres.start()
        async with asyncio.timeout(60):
            while len(accepted) < before + 20:
                assert not sending.done() or sending.result()
                await asyncio.sleep(0.05)
        sending.cancel()
        bench.created += [UUID(run) for run in accepted]
        print(f"{len(accepted)} runs accepted, {len(refused)} refused in {away} s")
        await bench.until_ended()
        await bench.check()
        await bench.close()
        await postgres.stop()


class TestRaces:
    async def test_one_of_many_decisions_counts(self, bench: Bench) -> None:
        bench.worker()
        api = await ApiProcess(bench).ready()
        async with api.client as client:
            await client.flows.put("approved", APPROVED.replace("WITHIN", "1h"))
            run = (await client.runs.create("approved", {"n": 1}))["run"]
            bench.created.append(UUID(run))
            await bench.until("waiting", 1)
            sent = [client.approvals.decide(run, "ask", "approve" if n % 2 else "reject", f"p{n}") for n in range(12)]
            answers = await asyncio.gather(*sent, return_exceptions=True)
            await bench.until_ended()
            first = [answer for answer in answers if isinstance(answer, dict)]
            assert first, answers
            assert all(isinstance(answer, dict | ClientError) for answer in answers), answers
            assert (await client.runs.get(run))["output"] in {answer["decision"] for answer in first}
            with pytest.raises(ClientError):
                await client.approvals.decide(run, "ask", "approve", "late")
        settled = [e for e in await bench.runs.events(1, UUID(run)) if e.step_key == "ask" and e.kind == 2]
        assert len(settled) == 1
        await bench.check()

    async def test_a_decision_after_the_deadline_changes_nothing(self, bench: Bench) -> None:
        bench.worker()
        api = await ApiProcess(bench).ready()
        async with api.client as client:
            await client.flows.put("approved", APPROVED.replace("WITHIN", "300ms"))
            run = (await client.runs.create("approved", {"n": 1}, wait=20))["run"]
            bench.created.append(UUID(run))
            await bench.until_ended()
            with pytest.raises(ClientError):
                await client.approvals.decide(run, "ask", "approve", "late")
            assert (await client.runs.get(run))["output"] == "reject"
        await bench.check()

    async def test_signals_at_once_twice_and_before_their_wait_count_once(self, bench: Bench) -> None:
        api = await ApiProcess(bench).ready()
        async with api.client as client:
            await client.flows.put("signalled", SIGNALLED)
            runs = [(await client.runs.create("signalled", {"n": n}))["run"] for n in range(20)]
            bench.created += [UUID(run) for run in runs]
            early = runs[:10]
            await asyncio.gather(*(client.runs.signal(run, "go", {"n": 1}, key=f"{run}-go") for run in early))
            bench.worker()
            again = [client.runs.signal(run, "go", {"n": 1}, key=f"{run}-go") for run in runs for _ in range(3)]
            answers = await asyncio.gather(*again, return_exceptions=True)
            assert all(isinstance(answer, dict | ClientError) for answer in answers), answers
            await bench.until_ended()
            outputs = [(await client.runs.get(run))["output"] for run in runs]
        assert outputs == [{"v": n + 2, "go": {"n": 1}} for n in range(20)]
        await bench.check()

    async def test_nothing_of_one_project_answers_to_another(self, bench: Bench) -> None:
        """I10."""
        (run,) = await bench.start(SIGNALLED, 1)
        for work in (
            bench.runs.get(2, run),
            bench.runs.events(2, run),
            bench.runs.cancel(2, run, "not mine"),
            bench.runs.signal(2, run, new_id(), "go", b"\xc0"),
            bench.runs.redrive(2, run, "not mine"),
        ):
            with pytest.raises(NotFound):
                await work
        bench.worker()
        await bench.until("waiting", 1)
        await bench.runs.signal(1, run, new_id(), "go", b"\xc0")
        await bench.until_ended()
        await bench.check()

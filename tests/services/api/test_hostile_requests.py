"""What nobody should send: each is told what is wrong with it, none is an error of ours."""

from __future__ import annotations

import asyncio
import random
import string
import urllib.error
import urllib.request

import httpx
import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine
from tests.services.api.test_runs import SUM

RUN = "00000000-0000-7000-8000-000000000000"
LONG = "".join(random.Random(3).choices(string.ascii_letters, k=6_000))
KEY = {"Idempotency-Key": "k"}
HALF = b'{%s: {"x": "\\ud800"}}'
WRONG = [
    ("GET", "/runs?batch=x", {}, 422),
    ("GET", "/runs?cursor=x", {}, 422),
    ("GET", "/runs?version=null", {}, 422),
    ("GET", "/runs?status=done", {}, 422),
    ("GET", "/runs?limit=0", {}, 422),
    ("GET", f"/runs/{RUN}?view=everything", {}, 422),
    ("GET", f"/runs/{RUN}/events?after=-1", {}, 422),
    ("GET", f"/runs/{RUN}/events?after=99999999999999999999999", {}, 422),
    ("GET", f"/runs/{RUN}/events", {"headers": {"Last-Event-ID": "\u00b2".encode()}}, 404),
    ("GET", f"/runs/{RUN}/events", {"headers": {"Last-Event-ID": "9" * 400}}, 404),
    ("POST", "/runs?wait=-1", {"json": {"flow": "sum"}}, 422),
    ("POST", "/runs?wait=nan", {"json": {"flow": "sum"}}, 422),
    ("POST", "/runs", {"content": b"\xff\xfe{"}, 422),
    ("POST", "/runs", {"content": b"[" * 100_000}, 422),
    ("POST", "/runs", {"content": b'{"flow": "sum", "inputs": {"x": NaN}}'}, 422),
    ("POST", "/runs", {"json": {"flow": "sum", "inputs": {"x": 2**80}}}, 422),
    ("POST", "/runs", {"json": {"flow": "a\x00b"}}, 422),
    ("POST", "/runs", {"json": {"flow": "sum", "priority": 10**9}}, 422),
    ("PUT", "/flows/sum", {"content": b"\xff"}, 422),
    ("PUT", "/flows/sum", {"json": {"source": "a: &a [*a]"}}, 422),
    ("PUT", "/connections/c", {"content": b"[]"}, 422),
    ("PUT", "/models/m", {"json": {"task": "chat", "deployments": "x"}}, 422),
    ("POST", "/approvals/x/y", {"json": {"decision": "approve"}}, 422),
    ("GET", "/batches/x", {}, 422),
    ("POST", "/runs", {"content": b'{"flow": "sum", "inputs": {"x": "\xff"}}'}, 422),
    ("POST", "/runs", {"content": b'{"flow": "sum", "inputs": {"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}}"}, 422),
    ("POST", "/runs", {"json": {"flow": "sum", "version": "zz"}}, 404),
    ("POST", f"/runs/{RUN}/signals/go", {"content": b"[" * 5_000 + b"]" * 5_000}, 422),
    ("POST", f"/runs/{RUN}/signals/go", {"content": b"[" * 900 + b"]" * 900}, 422),
    ("POST", f"/runs/{RUN}/signals/go", {"content": b"9" * 50}, 422),
    ("POST", f"/runs/{RUN}/signals/go", {"content": b'"\xff"'}, 422),
    ("POST", f"/runs/{RUN}/signals/approval:ok", {"json": {"decision": "approve"}}, 422),
    ("POST", f"/runs/{RUN}/fork", {"content": HALF % b'"from_step": "a", "inputs"', "headers": KEY}, 422),
    ("POST", f"/runs/{RUN}/fork", {"json": {"from_step": "a", "inputs": {"x": 2**80}}, "headers": KEY}, 422),
    ("POST", "/batches", {"json": {"name": "b", "flow": "sum", "rows": [{"key": "k" * 6_000}]}}, 422),
    ("POST", "/batches", {"content": b'{"name": "b", "flow": "sum", "rows": [{"key": "\\ud800"}]}'}, 422),
    ("PUT", "/flows/sum", {"content": b'{"source": "flow: sum", "files": {"p.md": "\\ud83d"}}'}, 422),
    ("PUT", f"/connections/{LONG}", {"json": {"base_url": "http://x"}}, 422),
    ("PUT", f"/models/{LONG}", {"json": {"task": "chat", "deployments": []}}, 422),
    ("PATCH", "/runs", {}, 405),
    ("GET", "/nothing", {}, 404),
]


class TestHostileRequests:
    @pytest.fixture(autouse=True)
    async def flow(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)

    async def test_each_is_told_what_is_wrong(self, http: httpx.AsyncClient) -> None:
        seen = []
        for method, path, sent, status in WRONG:
            answer = await http.request(method, f"/api/v1{path}", **sent)
            seen.append((method, path, answer.status_code, status))
            assert answer.headers["content-type"] == "application/problem+json", (path, answer.text)
            assert answer.json()["detail"]
        assert [entry for entry in seen if entry[2] != entry[3]] == []

    async def test_the_same_key_again_waits_for_the_run_that_it_made(self, http: httpx.AsyncClient) -> None:
        body = {"flow": "sum", "inputs": {"x": 3}}
        headers = {"Idempotency-Key": "once"}
        sent = [http.post("/api/v1/runs?wait=20", json=body, headers=headers) for _ in range(5)]
        answers = await asyncio.gather(*sent)
        assert [answer.status_code for answer in answers] == [200] * 5
        assert len({answer.json()["run"] for answer in answers}) == 1

    async def test_what_is_too_large_is_told_so_by_a_client_that_sends_all_first(self, machine: Machine) -> None:
        def send() -> int:
            request = urllib.request.Request(f"{machine.url}/api/v1/runs", b"x" * 50_000_000, method="POST")
            request.add_header("Authorization", f"Bearer {machine.token}")
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as refused:
                return refused.code

        assert await asyncio.to_thread(send) == 413

    async def test_decisions_that_cannot_be_kept_are_refused(
        self, client: AsyncClient, http: httpx.AsyncClient
    ) -> None:
        await client.flows.put("asked", "flow: asked\nsteps:\n  ok: {approve: {}}\noutput: $ok.by\n")
        run = (await client.runs.create("asked", {}))["run"]
        async with asyncio.timeout(20):
            while (await client.runs.get(run))["status"] != "waiting":
                await asyncio.sleep(0.02)
        for fields in (b'"\\ud800"', b"9" * 60):
            body = b'{"decision": "approve", "fields": {"a": %s}}' % fields
            headers = {"Content-Type": "application/json"}
            answer = await http.post(f"/api/v1/approvals/{run}/ok", content=body, headers=headers)
            assert answer.status_code == 422, answer.text
        assert (await client.runs.get(run))["status"] == "waiting"

    async def test_a_limit_by_a_very_long_key_is_kept(self, client: AsyncClient) -> None:
        step = 'a: {limit: {key: $inputs.k, concurrency: 1}, http: "http://127.0.0.1:9/"}'
        await client.flows.put("limited", f"flow: limited\ninputs: {{k: string}}\nsteps:\n  {step}\noutput: 1\n")
        run = await client.runs.create("limited", {"k": LONG}, wait=20)
        assert run["error"]["failure"]["code"] == "unavailable"

    async def test_a_name_that_no_index_can_hold_is_the_callers_mistake(self, http: httpx.AsyncClient) -> None:
        version = (await http.get("/api/v1/flows/sum")).json()["version"]
        answer = await http.put(f"/api/v1/flows/sum/channels/{LONG}", json={"version": version})
        assert (answer.status_code, answer.json()["advice"]) == (422, "A name or a key is too long.")

"""Runs through the API: start, wait, follow, steer, fork, replay."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from interplay.client import ApiError, AsyncClient
from tests.provider_server import ProviderServer

SUM = """
flow: sum
inputs: {x: integer, y: {type: integer, default: 1}}
steps:
  a: {set: {v: "${ inputs.x + inputs.y }"}}
  b: {when: a.v > 10, set: {v: "${ a.v * 2 }"}}
output: "${ first(b.v, a.v) }"
"""
APPROVE = """
flow: ask
inputs: {x: integer}
steps:
  ok: {approve: {who: [ada], show: $inputs.x}}
  go: {wait: {signal: go}}
  done: {set: {v: "${ ok.decision }"}, after: [go]}
output: $done.v
"""
CALL = """
flow: call
inputs: {url: string, x: {type: integer, default: 1}}
steps:
  one: {http: {url: $inputs.url, method: POST, body: {x: $inputs.x}}}
  two: {set: {v: "${ inputs.x + 1 }"}, after: [one]}
  three: {http: {url: $inputs.url, method: POST, body: {v: $two.v}}}
output: $two.v
"""


async def ended(client: AsyncClient, run: str) -> dict[str, Any]:
    async for _ in client.runs.follow(run):
        continue
    return await client.runs.get(run)


async def until_waiting(client: AsyncClient, run: str) -> None:
    async with asyncio.timeout(20):
        while (await client.runs.get(run))["status"] != "waiting":
            await asyncio.sleep(0.02)


class TestStart:
    async def test_the_result_is_in_the_answer_when_it_is_there_in_time(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        view = await client.runs.create("sum", {"x": 41}, wait=10)
        assert (view["status"], view["output"]) == ("succeeded", 84)

    async def test_without_waiting_it_is_accepted(self, client: AsyncClient, http: httpx.AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        answer = await http.post("/api/v1/runs", json={"flow": "sum", "inputs": {"x": 1}})
        assert answer.status_code == 202
        assert answer.headers["location"].endswith(answer.json()["run"])
        assert (await ended(client, answer.json()["run"]))["output"] == 2

    async def test_the_same_key_is_the_same_run(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        first = await client.runs.create("sum", {"x": 1}, key="k")
        assert (await client.runs.create("sum", {"x": 1}, key="k"))["run"] == first["run"]
        with pytest.raises(ApiError) as refused:
            await client.runs.create("sum", {"x": 2}, key="k")
        assert refused.value.status == 409

    async def test_a_wrong_input_is_named_with_its_path(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        with pytest.raises(ApiError) as refused:
            await client.runs.create("sum", {"x": "one"})
        assert (refused.value.status, refused.value.where) == (422, "inputs.x")

    async def test_an_unknown_flow_comes_with_near_names(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        with pytest.raises(ApiError) as refused:
            await client.runs.create("sun", {})
        assert refused.value.status == 404
        assert "sum" in str(refused.value.advice)

    async def test_two_slow_steps_run_at_the_same_time(self, client: AsyncClient, provider: ProviderServer) -> None:
        provider.play({"delay": 1.0})
        flow = "flow: two\ninputs: {url: string}\nsteps: {a: {http: $inputs.url}, b: {http: $inputs.url}}\noutput: 1\n"
        await client.flows.put("two", flow)
        view = await client.runs.create("two", {"url": provider.url}, wait=10)
        assert view["status"] == "succeeded"
        assert view["finished_at"] - view["created_at"] < 1.2
        assert (await client.runs.get(view["run"], full=True))["parallelism"] > 1.7


class TestFollow:
    async def test_events_come_once_and_in_order_from_any_point(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        run = (await client.runs.create("sum", {"x": 20}, wait=10))["run"]
        everything = [event["seq"] async for event in client.runs.follow(run) if "seq" in event]
        assert everything == list(range(1, len(everything) + 1))
        assert [event["seq"] async for event in client.runs.follow(run, after=2) if "seq" in event] == everything[2:]

    async def test_tokens_come_as_they_are_said(self, client: AsyncClient, provider: ProviderServer) -> None:
        await client.connections.put("fake", {"base_url": provider.url})
        await client.models.put("talker", {"task": "chat", "deployments": [{"connection": "fake", "model": "m"}]})
        provider.play({"delay": 0.5})
        flow = "flow: talk\nsteps: {say: {chat: {model: talker, prompt: Hi}, stream: true}}\noutput: $say.text\n"
        await client.flows.put("talk", flow)
        run = (await client.runs.create("talk", {}))["run"]
        said = [event["text"] async for event in client.runs.follow(run) if event["type"] == "step.delta"]
        assert "".join(said) == "one two three four five"


class TestSteer:
    async def test_a_person_decides_and_a_signal_goes_on(self, client: AsyncClient) -> None:
        await client.flows.put("ask", APPROVE)
        run = (await client.runs.create("ask", {"x": 7}))["run"]
        await client.runs.signal(run, "go", {"early": True})
        await until_waiting(client, run)
        [entry] = (await client.approvals.list())["items"]
        assert (entry["run"], entry["show"]) == (run, 7)
        with pytest.raises(ApiError):
            await client.approvals.decide(run, "ok", "approve", by="bob")
        await client.approvals.decide(run, "ok", "approve", by="ada")
        assert (await ended(client, run))["output"] == "approve"
        assert (await client.approvals.list())["items"] == []

    async def test_a_waiting_run_is_cancelled_at_once(self, client: AsyncClient) -> None:
        await client.flows.put("ask", APPROVE)
        run = (await client.runs.create("ask", {"x": 7}))["run"]
        await until_waiting(client, run)
        assert (await client.runs.cancel(run))["status"] == "cancelled"

    async def test_a_running_run_stops_and_its_call_is_left(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        provider.play({"fault": "hang"})
        await client.flows.put("call", CALL)
        run = (await client.runs.create("call", {"url": provider.url}))["run"]
        async with asyncio.timeout(10):
            while not provider.calls():
                await asyncio.sleep(0.02)
        await client.runs.cancel(run)
        assert (await ended(client, run))["status"] == "cancelled"

    async def test_a_skip_is_explained(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        run = (await client.runs.create("sum", {"x": 1}, wait=10))["run"]
        found = await client.runs.explain(run, "b")
        assert found["because"] == ["b was skipped: its condition `a.v > 10` was false."]


class TestForkAndReplay:
    async def test_a_fork_keeps_what_was_before_and_pays_nothing_again(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await client.flows.put("call", CALL)
        run = (await client.runs.create("call", {"url": provider.url}, wait=10))["run"]
        assert len(provider.calls()) == 2
        preview = await client.runs.fork(run, "three", preview=True)
        assert (preview["run"], preview["rerun"]) == (None, ["three"])
        forked = await client.runs.fork(run, "three")
        view = await ended(client, forked["run"])
        assert (view["status"], view["forked_from"]) == ("succeeded", run)
        assert len(provider.calls()) == 3

    async def test_changed_inputs_run_again_what_reads_them(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await client.flows.put("call", CALL)
        run = (await client.runs.create("call", {"url": provider.url}, wait=10))["run"]
        forked = await client.runs.fork(run, "three", inputs={"x": 9})
        assert (await ended(client, forked["run"]))["output"] == 10

    async def test_a_replay_calls_nobody_and_is_equal(self, client: AsyncClient, provider: ProviderServer) -> None:
        await client.flows.put("call", CALL)
        run = (await client.runs.create("call", {"url": provider.url}, wait=10))["run"]
        calls = len(provider.calls())
        report = await client.runs.replay(run)
        assert (report["equal"], report["differences"]) == (True, [])
        assert len(provider.calls()) == calls


class TestLargeValues:
    async def test_an_output_over_64_kib_is_kept_apart_and_comes_back(self, client: AsyncClient) -> None:
        flow = "flow: big\ninputs: {t: string}\nsteps: {a: {set: {t: $inputs.t}}, b: {set: {t: $a.t}}}\noutput: $b.t\n"
        await client.flows.put("big", flow)
        text = "x" * 200_000
        view = await client.runs.create("big", {"t": text}, wait=20)
        assert view["output"] == text
        assert (await client.runs.replay(view["run"]))["equal"]


class TestBatches:
    async def test_rows_sent_again_are_found(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        rows = [{"key": str(i), "inputs": {"x": i}} for i in range(20)]
        first = await client.batches.create("b", "sum", rows)
        again = await client.batches.create("b", "sum", rows)
        assert [row["run"] for row in first["rows"]] == [row["run"] for row in again["rows"]]
        assert not any(row["new"] for row in again["rows"])
        async with asyncio.timeout(20):
            while (await client.batches.get(first["batch"]))["by_status"].get("succeeded", 0) < 20:
                await asyncio.sleep(0.02)

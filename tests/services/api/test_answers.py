"""What the API answers is what its contract says: every key is described, and every page leads to the next."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ConfigDict, TypeAdapter

from interplay.client import ApiError, AsyncClient
from interplay.contracts.http import answers
from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer
from tests.services.api.test_runs import APPROVE, CALL, SUM, ended, until_waiting

# A list, because pydantic takes no configuration for a TypedDict itself.
EXACT = ConfigDict(extra="forbid", strict=True)
BROKEN = "flow: broken\nsteps: {a: {set: {x: '${ 1 / 0 }'}, retry: 1}}\noutput: 1\n"
LOOP = """
flow: turns
inputs: {x: integer}
steps:
  l: {loop: {carry: {n: 0}, steps: {s: {set: {x: 1}}}, update: {n: "${ carry.n + 1 }"}, until: carry.n >= 2, max: 3}}
  t: {wait: {for: 0.1}, after: [l]}
output: $l.carry
"""


def check(shape: Any, found: Any) -> Any:
    """Every key that was found is one that is described, and all that are promised are there."""
    TypeAdapter(list[shape], config=EXACT).validate_python([found])
    return found


async def talking(client: AsyncClient, provider: ProviderServer) -> None:
    await client.connections.put("fake", {"base_url": provider.url, "timeout": 5})
    deployment = {"connection": "fake", "model": "m", "price": {"input": 1, "output": 2}}
    await client.models.put("talker", {"task": "chat", "deployments": [deployment]})
    await client.flows.put(
        "talk", "flow: talk\nsteps: {say: {chat: {model: talker, prompt: Hi}, stream: true}}\noutput: $say.text\n"
    )


class TestKeysOfAnswers:
    async def test_flows(self, client: AsyncClient) -> None:
        check(answers.CheckResult, await client.flows.check("flow: x\nsteps: {a: {sett: 1}}\n"))
        version = check(answers.FlowSaved, await client.flows.put("sum", SUM))["version"]
        check(answers.Flow, await client.flows.get("sum"))
        check(answers.ChannelMoved, await client.flows.set_channel("sum", "prod", version))
        check(answers.Channel, await client.flows.channel("sum", "prod"))
        check(answers.FlowPage, await client.flows.list())
        check(answers.FlowVersionPage, await client.flows.versions("sum"))

    async def test_runs_that_call_models(self, client: AsyncClient, provider: ProviderServer) -> None:
        await talking(client, provider)
        run = check(answers.Run, await client.runs.create("talk", wait=10))["run"]
        assert check(answers.RunFull, await client.runs.get(run, full=True))["usage"]["calls"] == 1
        check(answers.RunPage, await client.runs.list(flow="talk", status=["succeeded"]))
        check(answers.EventPage, await client.runs.events(run))
        check(answers.ForkPlan, await client.runs.fork(run, "say", preview=True))
        check(answers.ReplayReport, await client.runs.replay(run))

    async def test_runs_that_fail_skip_wait_and_turn(self, client: AsyncClient, provider: ProviderServer) -> None:
        for name, flow, inputs in (("broken", BROKEN, {}), ("sum", SUM, {"x": 1}), ("turns", LOOP, {"x": 1})):
            await client.flows.put(name, flow)
            run = (await client.runs.create(name, inputs, wait=10))["run"]
            check(answers.RunFull, await client.runs.get(run, full=True))
            check(answers.EventPage, await client.runs.events(run))
        check(answers.Explanation, await client.runs.explain(run, "t"))

    async def test_events_as_they_happen(self, client: AsyncClient, provider: ProviderServer) -> None:
        await talking(client, provider)
        provider.play({"delay": 0.5})
        run = (await client.runs.create("talk"))["run"]
        kinds = {check(answers.StreamEvent, event)["type"] async for event in client.runs.follow(run)}
        assert {"run.started", "step.delta", "run.succeeded"} <= kinds

    async def test_what_waits_for_a_person(self, client: AsyncClient) -> None:
        await client.flows.put("ask", APPROVE)
        run = (await client.runs.create("ask", {"x": 7}))["run"]
        await until_waiting(client, run)
        check(answers.ApprovalPage, await client.approvals.list())
        check(answers.RunFull, await client.runs.get(run, full=True))
        check(answers.Decided, await client.approvals.decide(run, "ok", "approve", by="ada"))
        check(answers.SignalLeft, await client.runs.signal(run, "go"))
        await ended(client, run)
        check(answers.EventPage, await client.runs.events(run))

    async def test_batches_models_and_the_system(self, client: AsyncClient, provider: ProviderServer) -> None:
        await talking(client, provider)
        batch = check(answers.BatchStarted, await client.batches.create("b", "talk", [{"key": "1", "inputs": {}}]))
        check(answers.Batch, await client.batches.get(batch["batch"]))
        check(answers.BatchPage, await client.batches.list())
        check(answers.ModelPage, await client.models.list())
        check(answers.Model, await client.models.get("talker"))
        check(answers.ModelPut, await client.models.put("talker", await client.models.get("talker")))
        check(answers.ConnectionPage, await client.connections.list())
        check(answers.Connection, await client.connections.get("fake"))
        check(answers.ConnectionPut, await client.connections.put("fake", {"base_url": provider.url}))
        check(answers.System, await client.system())

    async def test_keys_budgets_usage_prices_and_routes(self, client: AsyncClient, provider: ProviderServer) -> None:
        await talking(client, provider)
        await client.runs.create("talk", wait=10)
        key = check(answers.KeyWithSecret, await client.keys.create("k", limits={"requests": 5}))["key"]
        check(answers.Key, await client.keys.get(key))
        check(answers.KeyPage, await client.keys.list())
        check(answers.KeyWithSecret, await client.keys.rotate(key))
        check(answers.Key, await client.keys.revoke(key))
        check(answers.ProjectPage, await client.projects.list())
        check(answers.BudgetPut, await client.budgets.put("project", 5.0))
        check(answers.BudgetPage, await client.budgets.list())
        check(answers.PriceChanged, await client.prices.put("fake/m", 1.0, 2.0))
        check(answers.PricePage, await client.prices.list())
        check(answers.UsagePage, await client.usage.get(["model", "day"]))
        check(answers.UsageRecordPage, await client.usage.records())
        check(answers.RouteView, await client.models.route("talker"))
        check(answers.ComparisonPage, await client.models.shadows("talker"))

    async def test_problems(self, client: AsyncClient, http: httpx.AsyncClient) -> None:
        refused = await http.put("/api/v1/flows/x", json={"source": "flow: x\nsteps: {a: {sett: 1}}\n"})
        assert check(answers.ProblemDocument, refused.json())["problems"]
        check(answers.ProblemDocument, (await http.get("/api/v1/models/none")).json())
        check(answers.ProblemDocument, (await http.get("/api/v1/nothing")).json())


class TestPages:
    async def test_models_and_connections_by_name(self, client: AsyncClient, provider: ProviderServer) -> None:
        names = [f"c{n}" for n in range(5)]
        for name in names:
            await client.connections.put(name, {"base_url": provider.url})
            await client.models.put(name, {"task": "chat", "deployments": [{"connection": name, "model": "m"}]})
        for noun in (client.models, client.connections):
            seen, cursor = [], None
            while True:
                page = await noun.list(limit=2, cursor=cursor)
                seen += [entry["name"] for entry in page["items"]]
                assert len(page["items"]) <= 2
                cursor = page["next"]
                if cursor is None:
                    break
            assert seen == sorted(seen)
            assert set(names) <= set(seen)
            assert [entry["name"] async for entry in noun.each()] == seen

    async def test_approvals_by_deadline(self, client: AsyncClient) -> None:
        flow = (
            "flow: ask\nsteps: {a: {approve: {within: 2h}}, b: {approve: {within: 1h}}, c: {approve: {}}}\noutput: 1\n"
        )
        await client.flows.put("ask", flow)
        for _ in range(2):
            await until_waiting(client, (await client.runs.create("ask"))["run"])
        whole = (await client.approvals.list())["items"]
        assert [entry["step"] for entry in whole] == ["b", "b", "a", "a", "c", "c"]
        paged, cursor = [], None
        for _ in range(6):
            page = await client.approvals.list(limit=1, cursor=cursor)
            paged += page["items"]
            cursor = page["next"]
        assert paged == whole
        assert (await client.approvals.list(limit=1, cursor=cursor))["items"] == []

    async def test_batches_newest_first(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        made = [
            (await client.batches.create(f"b{n}", "sum", [{"key": "1", "inputs": {"x": n}}]))["batch"] for n in range(3)
        ]
        first = await client.batches.list(limit=2)
        rest = await client.batches.list(limit=2, cursor=first["next"])
        assert [batch["batch"] for batch in [*first["items"], *rest["items"]]] == made[::-1]
        assert (rest["next"], rest["items"][0]["flow"], rest["items"][0]["total"]) == (None, "sum", 1)

    async def test_versions_by_the_cursor_of_the_page_before(self, client: AsyncClient) -> None:
        made = [(await client.flows.put("sum", SUM.replace("* 2", f"* {n}")))["version"] for n in range(2, 5)]
        first = await client.flows.versions("sum", limit=2)
        rest = await client.flows.versions("sum", limit=2, cursor=first["next"])
        assert [entry["version"] for entry in [*first["items"], *rest["items"]]] == made[::-1]

    @pytest.mark.parametrize("path", ["approvals", "batches"])
    @pytest.mark.parametrize("cursor", ["é", "nonsense", "WzFd", "bnVsbA"])
    async def test_what_is_no_cursor_is_said(self, http: httpx.AsyncClient, path: str, cursor: str) -> None:
        answer = await http.get(f"/api/v1/{path}", params={"cursor": cursor})
        assert (answer.status_code, answer.json()["where"]) == (422, "cursor")


class TestOneRequestOneKey:
    async def test_a_batch_sent_again_with_its_key_is_the_same_batch(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        rows = [{"key": "1", "inputs": {"x": 1}}, {"key": "2", "inputs": {"x": 2}}]
        first = await client.batches.create("b", "sum", rows, key="k")
        again = await client.batches.create("b", "sum", rows, key="k")
        assert [row["run"] for row in again["rows"]] == [row["run"] for row in first["rows"]]

    async def test_another_batch_with_that_key_is_refused_and_none_of_it_started(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        await client.batches.create("b", "sum", [{"key": "1", "inputs": {"x": 1}}], key="k")
        with pytest.raises(ApiError) as refused:
            await client.batches.create("b", "sum", [{"key": "2", "inputs": {"x": 2}}], key="k")
        assert (refused.value.status, refused.value.where) == (409, "Idempotency-Key")
        assert len((await client.runs.list())["items"]) == 1

    async def test_a_fork_sent_again_with_its_key_is_the_same_run(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await client.flows.put("call", CALL)
        run = (await client.runs.create("call", {"url": provider.url}, wait=10))["run"]
        first = await client.runs.fork(run, "three", key="k")
        assert (await client.runs.fork(run, "three", key="k"))["run"] == first["run"]
        with pytest.raises(ApiError) as refused:
            await client.runs.fork(run, "one", key="k")
        assert refused.value.status == 409


class TestMethods:
    @pytest.mark.parametrize(
        ("method", "path", "possible"),
        [("POST", "connections/x", "DELETE, GET, PUT"), ("PATCH", "batches", "GET, POST"), ("GET", "flows/check", "")],
    )
    async def test_a_wrong_one_is_told_the_right_ones(
        self, http: httpx.AsyncClient, machine: Machine, method: str, path: str, possible: str
    ) -> None:
        answer = await http.request(method, f"/api/v1/{path}")
        if possible:
            assert (answer.status_code, answer.headers["allow"]) == (405, possible)
            assert possible in answer.json()["advice"]
        else:  # `check` is the name of a flow to everything but a POST
            assert answer.status_code == 404

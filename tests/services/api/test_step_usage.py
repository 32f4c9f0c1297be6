"""Calls that steps make count on the project's limits and budgets, and leave their usage behind."""

from __future__ import annotations

import asyncio
from typing import Any

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine
from tests.minutes import within_a_minute
from tests.provider_server import ProviderServer
from tests.unconnectable import unconnectable

FLOW = "flow: talk\nsteps: {say: {chat: {model: assistant, prompt: Hi, max_tokens: 20}}}\noutput: $say.text\n"
MANY = """
flow: many
inputs: {texts: list}
steps: {all: {embed: {model: vectors, texts: $inputs.texts}}}
output: "${ size(all.vectors) }"
"""


async def ready(client: AsyncClient, url: str, **model: Any) -> None:
    await client.connections.put("away", {"base_url": "http://127.0.0.1:9/v1"})
    await client.connections.put("here", {"base_url": url})
    body = {"task": "chat", "deployments": [{"connection": "here", "model": "m"}], **model}
    await client.models.put("assistant", body)
    await client.flows.put("talk", FLOW)


async def run(client: AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = await client.runs.create("talk", wait=30.0)
    return found


async def records(client: AsyncClient, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(15):
        while len(found := (await client.usage.records())["items"]) < count:
            await asyncio.sleep(0.05)
    return list(found)


class TestUsage:
    async def test_a_call_leaves_one_record_with_its_run_and_flow(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        deployments = [
            {"connection": "away", "model": "m"},
            {"connection": "here", "model": "m", "price": {"input": 1_000_000, "output": 0}},
        ]
        await ready(client, provider.url, deployments=deployments)
        made = await run(client)
        (record,) = await records(client, 1)
        assert (record["flow"], record["run_id"]) == ("talk", made["run"])
        assert (record["alias"], record["deployment"], record["outcome"]) == ("assistant", "here/m", "ok")
        assert record["attempts"] == 2
        assert record["usage"]["input_tokens"] == 7
        assert record["usage"]["usd"] == 7.0

    async def test_one_that_failed_leaves_its_code(self, client: AsyncClient, provider: ProviderServer) -> None:
        await ready(client, provider.url)
        provider.play({"status": 400})
        assert (await run(client))["status"] == "failed"
        (record,) = await records(client, 1)
        assert record["outcome"] == "bad_request"

    async def test_the_slower_of_two_calls_leaves_one_that_is_estimated(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        price = {"input": 1_000_000, "output": 1_000_000}
        deployments = [{"connection": "here", "model": name, "price": price} for name in ("slow", "quick")]
        policy = {"hedge": {"share": 1.0, "after": 0.1}}
        await ready(client, provider.url, deployments=deployments, policy=policy)
        provider.play({"delay": 5.0}, {})
        assert (await run(client))["status"] == "succeeded"
        found = {record["deployment"]: record for record in await records(client, 2)}
        slower, answer = found["here/slow"], found["here/quick"]
        assert (answer["outcome"], answer["estimated"]) == ("ok", False)
        assert (slower["outcome"], slower["status"], slower["estimated"]) == ("cancelled", 499, True)
        assert slower["usage"]["usd"] == slower["usage"]["input_tokens"] + slower["usage"]["output_tokens"] > 0

    async def test_an_upstream_that_was_not_reached_is_paid_nothing(self, client: AsyncClient) -> None:
        with unconnectable() as url:
            price = {"input": 1_000_000, "output": 1_000_000}
            deployments = [{"connection": "here", "model": "m", "price": price}]
            await ready(client, url, deployments=deployments, policy={"timeouts": {"connect": 0.2}})
            assert (await run(client))["status"] == "failed"
        (record,) = await records(client, 1)
        assert (record["outcome"], record["estimated"], record["usage"]["input_tokens"]) == ("timeout", False, 0)

    async def test_many_texts_are_reserved_as_many(self, client: AsyncClient, provider: ProviderServer) -> None:
        await ready(client, provider.url)
        vectors = {"task": "embed", "deployments": [{"connection": "here", "model": "m"}], "limits": {"tokens": 500}}
        await client.models.put("vectors", vectors)
        await client.flows.put("many", MANY)
        failed = await client.runs.create("many", {"texts": ["words " * 10] * 100}, wait=30.0)
        assert failed["error"]["failure"]["code"] == "rate_limited"
        assert "this call needs 1,500" in failed["error"]["failure"]["detail"]
        assert provider.calls() == []

    async def test_the_price_book_counts_before_the_deployments_own(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        own = {"connection": "here", "model": "m", "price": {"input": 1, "output": 1}}
        await ready(client, provider.url, deployments=[own])
        await client.prices.put("here/m", 0, 1_000_000)
        await run(client)
        (record,) = await records(client, 1)
        assert record["usage"]["usd"] == 5.0


class TestLimits:
    async def test_an_aliass_limit_holds_for_steps_and_says_its_name(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        await ready(client, provider.url, limits={"requests": 1})
        await within_a_minute()
        assert (await run(client))["status"] == "succeeded"
        failed = await run(client)
        assert (failed["status"], failed["error"]["failure"]["code"]) == ("failed", "rate_limited")
        assert "assistant" in str(failed["error"])
        assert len(provider.calls()) == 1

    async def test_a_budget_of_the_project_ends_calls(self, client: AsyncClient, provider: ProviderServer) -> None:
        own = {"connection": "here", "model": "m", "price": {"input": 1000, "output": 1000}}
        await ready(client, provider.url, deployments=[own])
        await client.budgets.put("project", 0.000001, "total")
        failed = await run(client)
        assert failed["status"] == "failed"
        assert failed["error"]["failure"]["code"] == "budget_exceeded"
        assert provider.calls() == []

    async def test_a_keys_own_tokens_and_budgets_end_the_calls_of_its_runs_only(
        self, machine: Machine, client: AsyncClient, provider: ProviderServer
    ) -> None:
        own = {"connection": "here", "model": "m", "price": {"input": 1000, "output": 1000}}
        await ready(client, provider.url, deployments=[own])
        scopes = ["runs:write"]
        spent = await client.keys.create("spent", scopes=scopes, budgets=[{"usd": 0.000001, "period": "total"}])
        tight = await client.keys.create("tight", scopes=scopes, limits={"tokens": 5, "requests": 2})
        for made, code in ((spent, "budget_exceeded"), (tight, "rate_limited")):
            async with AsyncClient(machine.url, made["secret"]) as there:
                failed = await run(there)
            assert failed["status"] == "failed"
            assert failed["error"]["failure"]["code"] == code
            assert made["name"] in str(failed["error"])
        assert provider.calls() == []
        assert (await run(client))["status"] == "succeeded"
        wide = await client.keys.create("wide", scopes=scopes, budgets=[{"usd": 100, "period": "day"}])
        async with AsyncClient(machine.url, wide["secret"]) as there:
            batch = await there.batches.create("rows", "talk", [{"key": "a"}])
            assert (await run(there))["key"] == wide["key"]
        async with asyncio.timeout(15):
            while not (used := (await client.usage.get(key=wide["key"]))["items"]) or used[0]["calls"] < 2:
                await asyncio.sleep(0.05)
        assert (await client.runs.get(batch["rows"][0]["run"]))["key"] == wide["key"]

    async def test_an_answer_of_no_use_is_paid_too(self, client: AsyncClient, provider: ProviderServer) -> None:
        await ready(client, provider.url, limits={"tokens": 40})  # each call is estimated at 20
        provider.play({"finish": "content_filter"})
        await within_a_minute()
        codes = [(await run(client))["error"]["failure"]["code"] for _ in range(5)]
        assert codes[0] == "content_filtered"
        assert codes[-1] == "rate_limited"

    async def test_what_failed_takes_nothing(self, client: AsyncClient, provider: ProviderServer) -> None:
        await ready(client, provider.url, limits={"tokens": 60})
        provider.play({"status": 500}, {"status": 500}, {"status": 500}, {})
        for _ in range(3):
            assert (await run(client))["error"]["failure"]["code"] == "unavailable"
        assert (await run(client))["status"] == "succeeded"

"""Routing through the API: dry runs, shadows, policies that change while everything runs."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from interplay.client import ApiError, AsyncClient
from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer

FLOW = "flow: talk\nsteps: {say: {chat: {model: assistant, prompt: Hi}}}\noutput: $say.text\n"


async def two(client: AsyncClient, url: str, **policy: Any) -> None:
    """The alias `assistant`: first a server that nobody started, then the test's provider."""
    await client.connections.put("away", {"base_url": "http://127.0.0.1:9/v1"})
    await client.connections.put("here", {"base_url": url})
    deployments = [
        {"connection": "away", "model": "m", "name": "first"},
        {"connection": "here", "model": "m", "name": "second"},
    ]
    await client.models.put("assistant", {"task": "chat", "deployments": deployments, "policy": policy})


async def run(client: AsyncClient) -> dict[str, Any]:
    await client.flows.put("talk", FLOW)
    found: dict[str, Any] = await client.runs.create("talk", wait=30.0)
    return found


class TestRoute:
    async def test_each_deployment_comes_with_its_reason(self, client: AsyncClient, provider: ProviderServer) -> None:
        await two(client, provider.url, conditions=[{"when": 'metadata.tier == "gold"', "use": ["second"]}])
        found = await client.models.route("assistant", {"messages": [{"role": "user", "content": "Hi"}]})
        assert found["chosen"] == "first"
        assert [entry["deployment"] for entry in found["deployments"]] == ["first", "second"]
        gold = await client.models.route("assistant", metadata={"tier": "gold"})
        assert (gold["chosen"], gold["condition"]) == ("second", 'metadata.tier == "gold"')
        assert provider.calls() == []

    async def test_it_shows_what_calls_have_taught(self, client: AsyncClient, provider: ProviderServer) -> None:
        await two(client, provider.url, breaker={"failures": 1, "pause": 600})
        assert (await run(client))["status"] == "succeeded"
        found = await client.models.route("assistant")
        assert found["chosen"] == "second"
        assert found["deployments"][0]["breaker"] == "open"
        assert "rests" in found["deployments"][0]["reason"]

    async def test_a_missing_alias_is_404_with_near_names(self, client: AsyncClient, provider: ProviderServer) -> None:
        await two(client, provider.url)
        with pytest.raises(ApiError, match="assistant") as refused:
            await client.models.route("asistant")
        assert refused.value.status == 404

    async def test_a_body_with_something_else_is_refused(
        self, client: AsyncClient, http: httpx.AsyncClient, provider: ProviderServer
    ) -> None:
        await two(client, provider.url)
        refused = await http.post("/api/v1/models/assistant/route", json={"nothing": 1})
        assert refused.status_code == 422


class TestPolicies:
    async def test_a_changed_one_counts_for_the_next_call(self, client: AsyncClient, provider: ProviderServer) -> None:
        await two(client, provider.url)
        await run(client)
        assert len(provider.calls()) == 1
        await two(client, provider.url, conditions=[{"when": "true", "use": ["first"]}])
        assert (await run(client))["status"] == "failed"
        assert len(provider.calls()) == 1
        await two(client, provider.url)
        assert (await run(client))["status"] == "succeeded"

    async def test_what_is_wrong_is_told_with_its_path(self, client: AsyncClient, provider: ProviderServer) -> None:
        with pytest.raises(ApiError) as refused:
            await two(client, provider.url, stratgy="weighted", retries={"max": "lots"})
        assert refused.value.status == 422
        problems = refused.value.problems
        assert [problem["path"] for problem in problems] == ["policy.retries.max", "policy.stratgy"]
        assert problems[1]["suggestion"] == "Did you mean 'strategy'?"

    async def test_a_condition_may_look_at_the_step(self, client: AsyncClient, provider: ProviderServer) -> None:
        await two(client, provider.url, conditions=[{"when": 'metadata.step == "say"', "use": ["second"]}])
        assert (await run(client))["status"] == "succeeded"
        assert (await client.models.route("assistant"))["chosen"] == "first"


class TestShadows:
    async def test_both_answers_are_kept(self, client: AsyncClient, machine: Machine, provider: ProviderServer) -> None:
        await client.connections.put("here", {"base_url": provider.url})
        deployments = [
            {"connection": "here", "model": "m", "name": "now"},
            {"connection": "here", "model": "n", "name": "next", "weight": 0},
        ]
        policy = {"shadow": {"deployment": "next", "share": 1.0}}
        await client.models.put("assistant", {"task": "chat", "deployments": deployments, "policy": policy})
        provider.play({"text": "one"}, {"text": "two"})
        assert (await run(client))["output"] == "one"
        async with asyncio.timeout(10):
            while not (found := (await client.models.shadows("assistant"))["items"]):
                await asyncio.sleep(0.05)
        (kept,) = found
        assert (kept["given"]["answer"]["text"], kept["shadow"]["answer"]["text"]) == ("one", "two")
        assert (kept["given"]["deployment"], kept["shadow"]["deployment"]) == ("now", "next")
        with pytest.raises(ApiError):
            await client.models.shadows("nothing")

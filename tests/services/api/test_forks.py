"""Forks through the API: with other inputs, to another version, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from interplay.client import ApiError, AsyncClient
from tests.provider_server import ProviderServer
from tests.services.api.test_runs import SUM, ended

PRICE = """
flow: price
inputs: {url: string, country: {type: string, default: DE}}
steps:
  found: {http: {url: $inputs.url, method: POST, body: {q: net}}}
  tax: {set: {rate: "${ inputs.country == 'DE' ? 19 : 20 }"}, after: [found]}
  note: {set: {text: old}, after: [tax]}
output: $tax.rate
"""
LARGE = """
flow: large
inputs: {x: string}
steps:
  a: {set: {v: $inputs.x}}
  w: {wait: {signal: go}, after: [a]}
  c: {after: [w], set: {m: "${ size(a.v) }"}}
output: $c.m
"""


async def waiting(client: AsyncClient, run: str) -> None:
    async with asyncio.timeout(20):
        while (await client.runs.get(run))["status"] != "waiting":
            await asyncio.sleep(0.02)


async def priced(client: AsyncClient, provider: ProviderServer) -> str:
    await client.flows.put("price", PRICE)
    return str((await client.runs.create("price", {"url": provider.url}, wait=10))["run"])


async def refused(client: AsyncClient, run: str, **more: Any) -> ApiError:
    with pytest.raises(ApiError) as wrong:
        await client.runs.fork(run, "tax", **more)
    return wrong.value


class TestInputs:
    async def test_a_step_that_reads_none_that_changed_is_kept_and_not_paid_again(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        run = await priced(client, provider)
        forked = await client.runs.fork(run, "tax", inputs={"country": "FR"})
        assert (forked["kept"], forked["rerun"]) == (["found"], ["note", "tax"])
        assert (await ended(client, forked["run"]))["output"] == 20
        assert len(provider.calls()) == 1


class TestLargeValues:
    async def test_the_fork_goes_on_when_the_old_run_is_forgotten(self, client: AsyncClient, database_url: str) -> None:
        await client.flows.put("large", LARGE)
        run = str((await client.runs.create("large", {"x": "x" * 200_000}))["run"])
        await waiting(client, run)
        forked = (await client.runs.fork(run, "w"))["run"]
        await client.runs.cancel(run)
        connection = await asyncpg.connect(database_url)
        await connection.execute("delete from blob_chunk where run_id = $1", UUID(run))  # as retention does
        await connection.close()
        await client.runs.signal(forked, "go", 1)
        assert (await ended(client, forked))["output"] == 200_000


class TestVersions:
    async def test_a_beginning_names_one_as_apply_prints_it(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        run = await priced(client, provider)
        version = (await client.flows.put("price", PRICE.replace("? 19", "? 7")))["version"]
        forked = await client.runs.fork(run, "tax", version=version[:12])
        view = await ended(client, forked["run"])
        assert (view["version"], view["output"]) == (version, 7)

    async def test_one_of_another_flow_is_refused(self, client: AsyncClient, provider: ProviderServer) -> None:
        run = await priced(client, provider)
        other = (await client.flows.put("sum", SUM))["version"]
        for version in (other, other[:12], "none"):
            error = await refused(client, run, version=version)
            assert error.status == 404
            assert "interplay flows versions price" in str(error.advice)

    async def test_steps_and_inputs_that_it_does_not_have_stay_behind(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        run = await priced(client, provider)
        flow = PRICE.replace("  note: {set: {text: old}, after: [tax]}\n", "").replace(
            "inputs.country == 'DE'", "false"
        )
        flow = flow.replace(", country: {type: string, default: DE}", "")
        version = (await client.flows.put("price", flow))["version"]
        forked = await client.runs.fork(run, "tax", version=version)
        view = await ended(client, forked["run"])
        assert (view["status"], view["output"]) == ("succeeded", 20)
        steps = [step["step"] for step in (await client.runs.get(forked["run"], full=True))["steps"]]
        assert sorted(steps) == ["found", "tax"]

"""What a run waits for, and people who decide after each other."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from interplay.client import ApiError, AsyncClient
from tests.services.api.test_runs import SUM, ended, until_waiting

ASK = """
flow: refund
inputs: {amount: integer}
steps:
  ok: {approve: {who: [ada, grace], show: $inputs.amount, within: 4h}}
  paid: {wait: {signal: paid, within: 1d}, after: [ok]}
output: {ok: $ok.decision, paid: $paid}
"""
TWO = """
flow: two
steps: {ok: {approve: {who: [ada, grace, bob], quorum: 2}}}
output: $ok
"""


async def started(client: AsyncClient, name: str, flow: str, inputs: dict[str, Any] | None = None) -> str:
    await client.flows.put(name, flow)
    run = str((await client.runs.create(name, inputs or {}))["run"])
    await until_waiting(client, run)
    return run


async def refused(client: AsyncClient, run: str, decision: str, by: str) -> ApiError:
    with pytest.raises(ApiError) as wrong:
        await client.approvals.decide(run, "ok", decision, by=by)
    return wrong.value


class TestView:
    async def test_a_step_says_whom_or_what_it_waits_for_and_until_when(self, client: AsyncClient) -> None:
        run = await started(client, "refund", ASK, {"amount": 500})
        (asked,) = (await client.runs.get(run, full=True))["steps"]
        waits_for = asked["waits_for"]
        assert (waits_for["what"], waits_for["who"], waits_for["show"]) == ("approval", ["ada", "grace"], 500)
        assert waits_for["until"] == pytest.approx(waits_for["since"] + 4 * 3600)
        assert "ada or grace" in asked["reason"]
        await client.approvals.decide(run, "ok", "approve", by="ada")
        async with asyncio.timeout(20):
            while len(steps := (await client.runs.get(run, full=True))["steps"]) < 2:
                await asyncio.sleep(0.02)
        decided, paid = steps
        assert (decided["waits_for"], paid["waits_for"]["name"]) == (None, "paid")
        assert (await client.runs.explain(run, "paid"))["because"][0].startswith("paid waits for the signal 'paid'")

    async def test_a_run_says_which_pool_it_is_for(self, client: AsyncClient) -> None:
        assert (await client.runs.get(await started(client, "two", TWO)))["pool"] == "default"


class TestSecondDecision:
    async def test_it_is_told_what_was_decided_and_by_whom(self, client: AsyncClient) -> None:
        run = await started(client, "refund", ASK, {"amount": 500})
        await client.approvals.decide(run, "ok", "approve", by="ada")
        error = await refused(client, run, "reject", "grace")
        assert (error.status, error.detail) == (409, "ada decided already: approve.")
        await client.runs.signal(run, "paid", {"n": 7})
        assert (await ended(client, run))["output"] == {"ok": "approve", "paid": {"n": 7}}
        error = await refused(client, run, "reject", "grace")
        assert (error.status, error.detail) == (409, "ada decided already: approve.")

    async def test_the_same_again_is_the_same(self, client: AsyncClient) -> None:
        run = await started(client, "refund", ASK, {"amount": 500})
        first = await client.approvals.decide(run, "ok", "approve", by="ada")
        again = await client.approvals.decide(run, "ok", "approve", by="ada")
        assert (first["new"], again["new"]) == (True, False)
        assert (await refused(client, run, "reject", "ada")).status == 409

    async def test_one_of_two_that_are_needed_is_no_decision_yet(self, client: AsyncClient) -> None:
        run = await started(client, "two", TWO)
        await client.approvals.decide(run, "ok", "approve", by="ada")
        await client.approvals.decide(run, "ok", "approve", by="grace")
        assert (await ended(client, run))["output"]["by"] == "ada, grace"
        assert (await refused(client, run, "approve", "bob")).detail == "ada, grace decided already: approve."

    async def test_a_cancelled_run_asks_nobody(self, client: AsyncClient) -> None:
        run = await started(client, "refund", ASK, {"amount": 500})
        await client.runs.cancel(run)
        error = await refused(client, run, "approve", "ada")
        assert (error.status, error.detail) == (409, "The run is cancelled.")
        (step,) = (await client.runs.get(run, full=True))["steps"]
        assert (step["status"], step["waits_for"]) == ("cancelled", None)

    async def test_what_nobody_was_asked_is_not_found(self, client: AsyncClient) -> None:
        run = await started(client, "refund", ASK, {"amount": 500})
        with pytest.raises(ApiError) as wrong:
            await client.approvals.decide(run, "okk", "approve", by="ada")
        assert (wrong.value.status, wrong.value.advice) == (404, "Did you mean 'ok'?")


class TestBeginnings:
    """A run is named by a beginning of its id wherever it is named."""

    async def test_a_beginning_that_no_other_run_has_is_enough(self, client: AsyncClient) -> None:
        run = await started(client, "two", TWO)
        short = run[:8]
        assert (await client.runs.get(short))["run"] == run
        assert (await client.runs.get(run[:20].upper(), full=True))["run"] == run
        assert (await client.runs.events(short))["items"]
        assert (await client.approvals.decide(short, "ok", "reject", by="ada"))["run"] == run
        assert (await ended(client, short))["run"] == run
        assert (await client.runs.cancel(short))["run"] == run
        assert (await client.runs.fork(short, "ok", preview=True))["rerun"] == ["ok"]

    async def test_one_that_several_have_is_told_with_theirs(self, client: AsyncClient) -> None:
        await client.flows.put("sum", SUM)
        made = [(await client.runs.create("sum", {"x": 1}))["run"] for _ in range(2)]
        with pytest.raises(ApiError) as wrong:
            await client.runs.get(made[0][:6])
        assert wrong.value.status == 409
        assert all(run in str(wrong.value.advice) for run in made)

    @pytest.mark.parametrize(("name", "status"), [("0000000", 404), ("abc", 422), ("nothex0", 422), ("a" * 40, 422)])
    async def test_one_that_names_nothing_says_what_is_expected(
        self, http: httpx.AsyncClient, name: str, status: int
    ) -> None:
        answer = await http.get(f"/api/v1/runs/{name}")
        assert (answer.status_code, answer.json()["where"]) == (status, "run")
        assert answer.json()["advice"]

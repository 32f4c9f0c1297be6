"""Flows, signals and answers that were made to break something: each fails its own run, and no other (fault 17)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from interplay.bootstrap import PROJECT, new_id
from interplay.client import AsyncClient
from interplay.core.runs.events import encode_value
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.faults.invariants import violations
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.timeout(120)
PROBE = "flow: probe\nsteps:\n  a: {set: {v: 1}}\noutput: $a.v\n"
ASKED = "flow: asked\nsteps:\n  ok: {approve: {show: hello, within: 1h}}\noutput: $ok.by\n"
UNTIL = "flow: until\ninputs: {n: any}\nsteps:\n  a: {wait: {until: $inputs.n}}\noutput: 1\n"
CALL = "flow: call\ninputs: {url: string}\nsteps:\n  a: {http: {url: $inputs.url, method: POST}}\noutput: $a.body\n"
AGAIN = "flow: again\ninputs: {url: string}\nsteps:\n  a: {http: $inputs.url, retry: 1}\noutput: 1\n"
NOBODY = "flow: nobody\nsteps:\n  a: {pool: gpu, set: {v: 1}}\noutput: 1\ndeadline: 2s\n"


class Hostile:
    """A machine, and what is done to it."""

    def __init__(self, machine: Machine, client: AsyncClient, url: str) -> None:
        self.machine, self.client, self.url = machine, client, url

    async def start(self, flow: str, **inputs: Any) -> str:
        name = flow.split("flow: ", 1)[1].split("\n", 1)[0]
        await self.client.flows.put(name, flow)
        return str((await self.client.runs.create(name, inputs))["run"])

    async def ended(self, run: str, within: float = 20.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while (found := await self.client.runs.get(run))["status"] not in ("succeeded", "failed", "cancelled"):
                await asyncio.sleep(0.02)
        return found

    async def failure(self, run: str) -> dict[str, Any]:
        found = (await self.ended(run))["error"]["failure"]
        assert isinstance(found, dict)
        return found

    async def waits(self, run: str) -> None:
        async with asyncio.timeout(20):
            while (await self.client.runs.get(run))["status"] != "waiting":
                await asyncio.sleep(0.02)

    async def unharmed(self) -> None:
        """Another run still ends, under the worker of before, and no invariant is broken by those that ended."""
        assert (await self.ended(await self.start(PROBE)))["status"] == "succeeded"
        assert await violations(self.url) == {}


@pytest.fixture
async def hostile(database_url: str, tmp_path: Path) -> AsyncIterator[Hostile]:
    settings = load_settings(
        home=tmp_path / "home", database_url=database_url, port=0, lease_seconds=2.0, egress_allow="127.0.0.0/8"
    )
    async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
        yield Hostile(machine, client, database_url)


class TestSignals:
    @pytest.mark.parametrize(
        "payload", ["x", 7, None, [], {"decision": "perhaps"}, {"decision": "approve", "fields": 3}]
    )
    async def test_what_is_no_decision_decides_nothing_and_harms_nobody(self, hostile: Hostile, payload: Any) -> None:
        run = await hostile.start(ASKED)
        await hostile.waits(run)
        runs, decision = hostile.machine.platform.runs, encode_value(payload)  # past the route, which refuses the name
        await runs.signal(PROJECT, UUID(run), new_id(), "approval:ok", decision)
        await hostile.unharmed()
        if not (isinstance(payload, dict) and payload["decision"] == "approve"):
            await hostile.client.approvals.decide(run, "ok", "approve", by="ada")
            assert (await hostile.ended(run))["output"] == "ada"


class TestTimes:
    @pytest.mark.parametrize("moment", [1e18, 1e300, 2**62, "9999-12-31T23:59:59-12:00"])
    async def test_a_moment_that_no_ledger_can_keep_fails_its_run(self, hostile: Hostile, moment: Any) -> None:
        failure = await hostile.failure(await hostile.start(UNTIL, n=moment))
        assert failure["code"] == "expression"
        assert "ten years" in failure["detail"]
        await hostile.unharmed()

    @pytest.mark.parametrize("moment", [-1e18, -5, "0001-01-01T00:00:00+14:00"])
    async def test_a_moment_that_is_long_past_is_due_at_once(self, hostile: Hostile, moment: Any) -> None:
        assert (await hostile.ended(await hostile.start(UNTIL, n=moment)))["status"] == "succeeded"
        await hostile.unharmed()

    async def test_a_run_for_a_pool_that_nobody_serves_ends_at_its_deadline(self, hostile: Hostile) -> None:
        assert (await hostile.failure(await hostile.start(NOBODY)))["code"] == "deadline_exceeded"
        await hostile.unharmed()


class TestAnswers:
    @pytest.mark.parametrize("body", ['{"a":"\\ud800"}', '{"a":' + "9" * 40 + "}", "[" * 900 + "]" * 900, '{"a":NaN}'])
    async def test_one_that_cannot_be_kept_fails_its_step_after_one_call(
        self, hostile: Hostile, provider: ProviderServer, body: str
    ) -> None:
        provider.play({"raw": body})
        failure = await hostile.failure(await hostile.start(CALL, url=provider.url))
        assert failure["code"] == "invalid_output"
        assert len(provider.calls()) == 1
        await hostile.unharmed()

    async def test_one_nested_deeper_than_anything_can_read_does_so_too(
        self, hostile: Hostile, provider: ProviderServer
    ) -> None:
        provider.play({"raw": "[" * 100_000 + "]" * 100_000})
        assert (await hostile.failure(await hostile.start(CALL, url=provider.url)))["code"] == "invalid_output"
        await hostile.unharmed()

    @pytest.mark.parametrize("wish", ["9" * 20, "²"])
    async def test_a_wish_for_a_pause_that_is_no_number_or_never_ends_is_not_followed(
        self, hostile: Hostile, provider: ProviderServer, wish: str
    ) -> None:
        provider.play({"status": 503, "headers": {"retry-after": wish}}, {"raw": "1"})
        run = await hostile.start(AGAIN, url=provider.url)
        async with asyncio.timeout(20):
            while not (retries := [e for e in await self._events(hostile, run) if e["type"] == "step.retrying"]):
                await asyncio.sleep(0.02)
        assert retries[0]["next_at"] < time.time() + 3601
        await hostile.client.runs.cancel(run)
        await hostile.ended(run)
        await hostile.unharmed()

    async def _events(self, hostile: Hostile, run: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await hostile.client.runs.events(run))["items"]
        return items

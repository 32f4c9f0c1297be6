"""Connections through the API: what is kept, what is shown, and where `up` on this machine may call."""

from __future__ import annotations

from pathlib import Path

import pytest

from interplay.bootstrap import PROJECT
from interplay.cli.output import problem_text
from interplay.client import ApiError, AsyncClient
from interplay.core.models.registry import Connection
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.provider_server import ProviderServer

CALL = "flow: call\ninputs: {url: string}\nsteps:\n  a: {http: $inputs.url}\noutput: $a.status\n"
ASK = 'flow: ask\nsteps:\n  a: {chat: {model: scripted, prompt: "hi"}}\noutput: $a.text\n'


class TestKeys:
    async def test_a_plain_one_is_refused_with_advice(self, client: AsyncClient) -> None:
        for body in ({"api_key": "sk-live"}, {"headers": {"Authorization": "Bearer sk-live"}}):
            with pytest.raises(ApiError) as refused:
                await client.connections.put("c", {"base_url": "http://x/v1", **body})
            assert refused.value.status == 422
            assert "Expected secret://NAME" in str(refused.value)

    async def test_what_is_wrong_with_one_is_told_with_its_path_and_no_place_in_a_file(
        self, client: AsyncClient
    ) -> None:
        with pytest.raises(ApiError) as refused:
            await client.connections.put("c", {"base_url": "http://x/v1", "options": {"regoin": "x"}})
        (problem,) = refused.value.problems
        said = "options.regoin: 'regoin' is no option of a connection of kind openai. Expected none."
        assert str(refused.value) == problem_text(problem) == said

    async def test_one_that_an_earlier_release_kept_is_not_shown(self, machine: Machine, client: AsyncClient) -> None:
        old = Connection("old", base_url="http://x/v1", api_key="sk-live", headers={"X-Api-Key": "sk-live"})
        await machine.platform.models.put_connection(PROJECT, old)
        await client.connections.put("new", {"base_url": "http://x/v1", "api_key": "secret://k"})
        listed = {item["name"]: item for item in (await client.connections.list())["items"]}
        assert "sk-live" not in str(listed)
        assert listed["new"]["api_key"] == "secret://k"


class TestReach:
    @pytest.mark.parametrize(("allowed", "reaches"), [("", True), ("10.0.0.0/8", False)])
    async def test_up_on_loopback_reaches_this_machine_unless_it_is_told_what_it_may(
        self, database_url: str, tmp_path: Path, provider: ProviderServer, allowed: str, reaches: bool
    ) -> None:
        settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0, egress_allow=allowed)
        async with run_machine(settings, announce=False) as up, AsyncClient(up.url, up.token) as client:
            await client.connections.put("scripted", {"base_url": provider.url})
            model = {"task": "chat", "deployments": [{"connection": "scripted", "model": "m"}]}
            await client.models.put("scripted", model)
            for flow, inputs in ((CALL, {"url": provider.url}), (ASK, {})):
                provider.play({})
                name = flow.split()[1]
                await client.flows.put(name, flow)
                view = await client.runs.create(name, inputs, wait=20)
                code = ((view.get("error") or {}).get("failure") or {}).get("code")
                assert (view["status"], code) == (("succeeded", None) if reaches else ("failed", "egress_refused"))

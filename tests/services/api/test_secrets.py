"""Secrets of flows: for the flow's own text only, put in at the last moment, seen by the host they go to and nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from interplay.client import AsyncClient
from interplay.core.errors import SetupError
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.provider_server import ProviderServer, provider_server

SECRET = "sk-VERY-SECRET-123"


@pytest.fixture
async def machine(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    monkeypatch.setenv("INTERPLAY_SECRET_K", SECRET + "\n")
    settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0, egress_allow="127.0.0.0/8")
    async with run_machine(settings, announce=False) as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(machine.url, machine.token) as made:
        yield made


@pytest.fixture
def other() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


async def ran(client: AsyncClient, url: str, headers: str, **inputs: Any) -> tuple[dict[str, Any], str]:
    """The run, and everything that the API tells of it."""
    flow = f"""
flow: asks
inputs: {{who: {{type: string, default: nobody}}}}
steps:
  a: {{http: {{url: "{url}/echo", method: POST, headers: {headers}}}}}
output: $a.body
"""
    await client.flows.put("asks", flow)
    run = await client.runs.create("asks", inputs, wait=30)
    return run, json.dumps([run, await client.runs.events(run["run"])])


class TestSecrets:
    async def test_the_host_gets_it_and_nobody_else_sees_it(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        provider.play({"text": SECRET})
        _, told = await ran(client, provider.url, '{Authorization: "Bearer secret://k"}')
        assert provider.calls()[0]["headers"]["authorization"] == f"Bearer {SECRET}", "its line end is no part of it"
        assert SECRET not in told
        assert "***" in told

    async def test_one_that_an_error_gives_back_is_not_journaled(
        self, client: AsyncClient, provider: ProviderServer
    ) -> None:
        provider.play({"status": 400, "text": f"you sent {SECRET}"})
        run, told = await ran(client, provider.url, '{X-Api-Key: "secret://k"}')
        assert run["status"] == "failed"
        assert SECRET not in told

    async def test_data_that_looks_like_one_is_data(self, client: AsyncClient, provider: ProviderServer) -> None:
        provider.play({})
        run, _ = await ran(client, provider.url, "{X-User: $inputs.who}", who="secret://k")
        assert run["status"] == "succeeded"
        assert provider.calls()[0]["headers"]["x-user"] == "secret://k"

    async def test_another_host_gets_none_by_a_redirect(
        self, client: AsyncClient, provider: ProviderServer, other: ProviderServer
    ) -> None:
        other.play({})
        provider.play({"status": 302, "headers": {"location": f"{other.url}/stolen"}})
        await ran(client, provider.url, '{X-Api-Key: "secret://k", Accept: application/json}')
        (call,) = other.calls()
        assert "x-api-key" not in call["headers"]
        assert "idempotency-key" not in call["headers"], "the POST became a GET"
        assert call["headers"]["accept"] == "application/json"

    async def test_mixed_with_an_expression_it_is_refused(self, client: AsyncClient) -> None:
        step = 'a: {http: {url: "http://x", headers: {A: "secret://k ${inputs.x}"}}}'
        checked = await client.flows.check(f"flow: m\ninputs: {{x: string}}\nsteps:\n  {step}\n")
        assert "secret" in checked["problems"][0]["message"]


class TestSettings:
    def test_a_secret_with_line_ends_inside_stops_the_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTERPLAY_SECRET_BAD", "a\r\nX-Other: b")
        with pytest.raises(SetupError, match="INTERPLAY_SECRET_BAD"):
            _ = load_settings().secrets

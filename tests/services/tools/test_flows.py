"""Flows with tools, agents and runnables, on a whole machine; the model is a provider that plays a script."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.provider_server import ProviderServer, provider_server

HERE = "tests.services.tools.programs"
SERVER = str(Path(__file__).with_name("clock_server.py"))
EXTENSIONS = f"""
tools:
  weight: {HERE}:weight
  slowly: {HERE}:slowly
  broken: {HERE}:broken
servers:
  clock: {{command: [{sys.executable}, {SERVER}]}}
runnables:
  graph: {HERE}:graph
  twice: {HERE}:twice
  failing: {HERE}:failing
  nothing: {HERE}:not_runnable
"""
AGENT = """
flow: helper
inputs: {question: string}
steps:
  helper:
    agent: {model: scripted, tools: [clock.add, weight], prompt: "{{ inputs.question }}"}
output: {text: $helper.text, turns: $helper.turns, transcript: $helper.transcript}
"""


@pytest.fixture
async def machine(database_url: str, tmp_path: Path) -> AsyncIterator[Machine]:
    (tmp_path / "extensions.yaml").write_text(EXTENSIONS)
    settings = load_settings(
        home=tmp_path / "home", database_url=database_url, port=0, egress_allow="127.0.0.0/8", lease_seconds=5.0,
        extensions=tmp_path / "extensions.yaml",
    )  # fmt: skip
    async with run_machine(settings, announce=False) as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(machine.url, machine.token) as made:
        yield made


async def ran(client: AsyncClient, text: str, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    name = text.split("flow:", 1)[1].split()[0]
    await client.flows.put(name, text)
    return await client.runs.create(name, inputs or {}, wait=60)


class TestTools:
    async def test_one_of_a_server_and_functions_of_python(self, client: AsyncClient) -> None:
        text = """
flow: tools
steps:
  sum: {tool: {name: clock.add, arguments: {a: 2, b: 3}}}
  heavy: {tool: {name: weight, arguments: {name: stone, kilos: $sum.result}}}
  loud: {tool: {name: slowly, arguments: {text: "${ heavy.result.name }"}}}
output: {sum: $sum.result, heavy: $heavy.result, loud: $loud.result}
"""
        run = await ran(client, text)
        assert run["output"] == {"sum": 5, "heavy": {"name": "stone", "grams": 5000.0}, "loud": "STONE"}

    @pytest.mark.parametrize(
        ("tool", "said"),
        [
            ("{name: wieght, arguments: {}}", "weight"),
            ("{name: weight, arguments: {kilos: 1}}", "name: Field required"),
            ("{name: weight, arguments: {name: a, colour: red}}", "colour"),
            ("{name: broken}", "RuntimeError: no such luck"),
        ],
    )
    async def test_what_is_wrong_is_said(self, client: AsyncClient, tool: str, said: str) -> None:
        run = await ran(client, f"flow: wrong\nsteps:\n  a: {{tool: {tool}}}\n")
        assert run["status"] == "failed"
        assert said in str(run["error"])


class TestAgents:
    async def test_the_model_calls_tools_of_both_kinds_and_answers(self, client: AsyncClient) -> None:
        with provider_server() as provider:
            await self._models(client, provider)
            provider.play(
                {"tool_calls": [_call("clock__add", '{"a": 20, "b": 22}'), _call("weight", '{"name": "x"}')]},
                {"text": "It is 42."},
            )
            run = await ran(client, AGENT, {"question": "20 + 22?"})
        assert run["output"]["text"] == "It is 42."
        told = [m["content"] for m in run["output"]["transcript"] if m["role"] == "tool"]
        assert told == ["42", '{"name": "x", "grams": 1000.0}']
        asked = provider.calls()[0]["body"]
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["clock__add", "weight"]
        events = (await client.runs.events(run["run"]))["items"]
        keys = [event["step"] for event in events if event["type"] == "step.succeeded"]
        assert keys[:2] == ["helper[0].tools", "helper[0].ask"]
        assert sorted(keys[2:4]) == ["helper[0].call0", "helper[0].call1"]
        assert keys[4:] == ["helper[1].ask", "helper"]

    async def _models(self, client: AsyncClient, provider: ProviderServer) -> None:
        await client.connections.put("scripted", {"base_url": provider.url})
        await client.models.put("scripted", {"task": "chat", "deployments": [{"connection": "scripted", "model": "m"}]})


class TestRunnables:
    async def test_a_graph_is_one_step(self, client: AsyncClient) -> None:
        run = await ran(
            client, "flow: g\ninputs: {t: string}\nsteps:\n  a: {runnable: {name: graph, input: {text: $inputs.t}}}\n"
            "output: $a.output\n", {"t": "hello there"},
        )  # fmt: skip
        assert run["output"] == {"text": "hello there", "letters": 11, "verdict": "long"}

    async def test_a_runnable_of_numbers(self, client: AsyncClient) -> None:
        run = await ran(client, "flow: n\nsteps:\n  a: {runnable: {name: twice, input: 21}}\noutput: $a.output\n")
        assert run["output"] == 42

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("grpah", "Did you mean 'graph'?"),
            ("failing", "RuntimeError: no such luck"),
            ("nothing", "is no Runnable"),
        ],
    )
    async def test_what_is_wrong_is_said(self, client: AsyncClient, name: str, said: str) -> None:
        run = await ran(client, f"flow: r\nsteps:\n  a: {{runnable: {{name: {name}, input: 1}}}}\n")
        assert run["status"] == "failed"
        assert said in str(run["error"])


def _call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments}}

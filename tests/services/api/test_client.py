"""The clients as programs use them: what their methods return is known to type checkers, and the same in both."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interplay.client import ApiError, AsyncClient, Client
from interplay.services.all_in_one.machine import Machine
from tests.architecture.source_tree import ROOT
from tests.services.api.test_runs import APPROVE, SUM, until_waiting

PROGRAM = """
import asyncio

from interplay.client import AsyncClient, Client


def plain(client: Client) -> None:
    run = client.runs.create("hello", {"name": "Ada"}, wait=30)
    reveal_type(run["status"])
    reveal_type(client.runs.get(run["run"], full=True)["steps"][0]["seconds"])
    reveal_type(client.runs.list(flow="hello")["next"])
    reveal_type(client.batches.get("b")["by_status"])
    reveal_type(client.connections.get("c")["name"])
    reveal_type([approval["step"] for approval in client.approvals.each()])
    reveal_type(client.system()["workers"])
    for event in client.runs.follow(run["run"]):
        if event["type"] == "step.delta":
            reveal_type(event["text"])
        elif event["type"] == "run.failed":
            reveal_type(event["failure"]["code"])


async def with_a_loop(client: AsyncClient) -> None:
    run = await client.runs.create("hello", wait=30)
    reveal_type(run["status"])
    reveal_type((await client.runs.fork(run["run"], "a"))["kept"])
    reveal_type((await client.flows.check("flow: a"))["problems"][0]["line"])
    reveal_type([model["task"] async for model in client.models.each()])
    async for event in client.runs.follow(run["run"]):
        if event["type"] == "step.started":
            reveal_type(event["attempt"])


with Client("http://127.0.0.1:8080") as client:
    plain(client)
"""


def one_of(*words: str) -> str:
    """As mypy writes it."""
    return " | ".join(f"Literal['{word}']" for word in words)


STATUS = one_of("queued", "running", "waiting", "succeeded", "failed", "cancelled", "dead")
REVEALED = [
    STATUS,
    "float",
    "str | None",
    "dict[str, int]",
    "str",
    "list[str]",
    "list[TypedDict(interplay.contracts.http.answers.system.Worker, …)]",
    "str",
    "str",
    STATUS,
    "list[str]",
    "int",
    f"list[{one_of('chat', 'embed', 'rerank', 'classify', 'predict')}]",
    "int",
]
MISTAKES = """
from interplay.client import Client

with Client("http://127.0.0.1:8080") as client:
    client.runs.create("hello")["stauts"]
    client.runs.lst()
    client.approvals.decide("run", "step", "maybe")
"""


def judged(program: str, folder: Path) -> str:
    """What mypy says of a program, with the settings and the cache of this repository."""
    path = folder / "program.py"
    path.write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


class TestTypes:
    @pytest.mark.timeout(300)
    def test_a_program_knows_what_both_clients_return(self, tmp_path: Path) -> None:
        said = judged(PROGRAM, tmp_path)
        assert "error:" not in said, said
        told = [re.sub(r"builtins\.|typing\.", "", text) for text in re.findall(r'Revealed type is "(.*)"', said)]
        assert [re.sub(r"(TypedDict\([\w.]+, )\{.*\}\)", r"\1…)", text) for text in told] == REVEALED

    @pytest.mark.timeout(300)
    def test_mistakes_are_found_before_the_program_runs(self, tmp_path: Path) -> None:
        found = re.findall(r"error: .*\[([a-z-]+)\]", judged(MISTAKES, tmp_path))
        assert found == ["typeddict-item", "attr-defined", "arg-type"]


def nouns_of(client: Any) -> dict[str, Any]:
    return {name: noun for name, noun in vars(client).items() if not name.startswith("_")}


def methods_of(noun: Any) -> dict[str, list[inspect.Parameter]]:
    found = inspect.getmembers(noun, inspect.ismethod)
    return {name: list(inspect.signature(m).parameters.values()) for name, m in found if not name.startswith("_")}


class TestTheClientWithoutAwait:
    def test_it_has_the_same_nouns_methods_and_parameters(self) -> None:
        plain = Client("http://127.0.0.1:1")
        other = AsyncClient("http://127.0.0.1:1")
        try:
            assert nouns_of(plain).keys() == nouns_of(other).keys()
            for name, noun in nouns_of(other).items():
                assert methods_of(nouns_of(plain)[name]) == methods_of(noun)
            assert methods_of(plain).keys() == methods_of(other).keys()
        finally:
            plain.close()

    async def test_it_does_what_the_other_does(self, machine: Machine, client: AsyncClient) -> None:
        await client.flows.put("ask", APPROVE)
        asked = (await client.runs.create("ask", {"x": 1}))["run"]
        await until_waiting(client, asked)
        await asyncio.to_thread(use_it, machine, asked)
        assert (await client.runs.get(asked))["status"] == "cancelled"


def use_it(machine: Machine, asked: str) -> None:
    with Client(machine.url, machine.token) as client:
        assert client.flows.put("sum", SUM)["created"]
        run = client.runs.create("sum", {"x": 41}, wait=20)
        assert (run["status"], run["output"]) == ("succeeded", 84)
        assert [event["type"] for event in client.runs.follow(run["run"])][-1] == "run.succeeded"
        for event in client.runs.follow(run["run"]):
            assert event["type"] == "run.started"
            break  # the connection is given back
        assert client.runs.get(run["run"], full=True)["steps"]
        assert {found["run"] for found in client.runs.each()} == {asked, run["run"]}
        assert [entry["run"] for entry in client.approvals.each()] == [asked]
        client.connections.put("c", {"base_url": "http://127.0.0.1:9"})
        assert client.connections.get("c")["name"] == "c"
        client.connections.delete("c")
        with pytest.raises(ApiError) as missing:
            client.connections.get("c")
        assert missing.value.status == 404
        assert client.runs.cancel(asked, "enough")["cancel_requested"]

"""A provider with an API of its own behind the gateway: its caller sees OpenAI's shapes, streams and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from interplay.core.models.registry import Connection, Deployment, Model
from interplay.services.all_in_one.machine import Machine
from tests.vendor_server import VendorServer, vendor_server
from tests.vendors import MODELS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
CHAT = "/v1/chat/completions"
KINDS = ("anthropic", "google", "ollama")
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture(scope="module")
def vendors() -> Iterator[VendorServer]:
    with vendor_server() as running:
        yield running


async def connected(machine: Machine, vendors: VendorServer, kind: str) -> dict[str, Any]:
    """A request to an alias of this kind, over this server."""
    machine.platform.secrets._values["k"] = "key-1"
    models = machine.platform.models
    await models.put_connection(1, Connection(kind, kind, vendors.address(kind), "secret://k"))
    await models.put_model(1, Model(f"by-{kind}", "chat", (Deployment(kind, MODELS.get(kind, "m")),)))
    await machine.platform.tenancy.snapshots.refresh()
    vendors.play({})
    return {"model": f"by-{kind}", "messages": [{"role": "user", "content": "Count."}]}


def events(text: str) -> list[Any]:
    *parts, done = [part.removeprefix("data: ") for part in text.strip().split("\n\n")]
    assert done == "[DONE]"
    return [json.loads(part) for part in parts]


@pytest.mark.parametrize("kind", KINDS)
class TestAProviderBehindTheGateway:
    async def test_answers(self, machine: Machine, http: httpx.AsyncClient, vendors: VendorServer, kind: str) -> None:
        answer = await http.post(CHAT, json=await connected(machine, vendors, kind))
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "one two three four five"
        assert answer.json()["usage"]["total_tokens"] == 12

    async def test_streams_tool_calls(
        self, machine: Machine, http: httpx.AsyncClient, vendors: VendorServer, kind: str
    ) -> None:
        body = {**await connected(machine, vendors, kind), "stream": True, "tools": TOOLS}
        vendors.play({"tool_calls": [CALL]})
        said = events((await http.post(CHAT, json=body)).text)
        pieces = [p for e in said for c in e["choices"] for p in c["delta"].get("tool_calls", ())]
        assert "".join(piece["function"]["arguments"] for piece in pieces) == CALL["function"]["arguments"]
        assert pieces[0]["function"]["name"] == "look"
        assert any(c["finish_reason"] == "tool_calls" for e in said for c in e["choices"])

    async def test_a_secret_that_is_missing_is_said(
        self, machine: Machine, http: httpx.AsyncClient, vendors: VendorServer, kind: str
    ) -> None:
        body = await connected(machine, vendors, kind)
        del machine.platform.secrets._values["k"]
        answer = await http.post(CHAT, json=body)
        assert "secret" in answer.json()["error"]["message"], answer.text
        assert vendors.ledger == []

    async def test_a_refusal_keeps_its_status(
        self, machine: Machine, http: httpx.AsyncClient, vendors: VendorServer, kind: str
    ) -> None:
        body = await connected(machine, vendors, kind)
        vendors.play({"status": 400})
        assert (await http.post(CHAT, json=body)).status_code == 400

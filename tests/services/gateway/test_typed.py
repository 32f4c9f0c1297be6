"""Models whose bytes cannot be forwarded: through a provider, and back into OpenAI's shape.

The provider here is the one that flows use, so both ways meet the same scripted server.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from interplay.core.models.policy import Policy
from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer
from tests.services.gateway.conftest import put_policy

pytestmark = pytest.mark.asyncio(loop_scope="module")
SAY: dict[str, Any] = {"model": "gpt", "messages": [{"role": "user", "content": "Count."}]}
CHAT = "/v1/chat/completions"
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


@pytest.fixture(autouse=True)
def nothing_is_forwarded(machine: Machine) -> Iterator[None]:
    before, machine.gateway.forwarded = machine.gateway.forwarded, frozenset()
    yield
    machine.gateway.forwarded = before


class TestATypedModel:
    async def test_answers_in_openais_shape(self, http: httpx.AsyncClient) -> None:
        answer = (await http.post(CHAT, json=SAY)).json()
        assert answer["object"] == "chat.completion"
        assert answer["choices"][0]["message"] == {"role": "assistant", "content": "one two three four five"}
        assert answer["usage"]["total_tokens"] == 12

    async def test_streams_in_openais_shape(self, http: httpx.AsyncClient) -> None:
        body = {**SAY, "stream": True, "stream_options": {"include_usage": True}}
        text = (await http.post(CHAT, json=body)).text
        *events, done = [part.removeprefix("data: ") for part in text.strip().split("\n\n")]
        said = [json.loads(event) for event in events]
        assert done == "[DONE]"
        words = [choice["delta"].get("content", "") for event in said for choice in event["choices"]]
        assert "".join(words) == "one two three four five"
        assert said[-2]["choices"][0]["finish_reason"] == "stop"
        assert said[-1]["usage"]["completion_tokens"] == 5

    @pytest.mark.parametrize("stream", [False, True])
    async def test_calls_tools(self, http: httpx.AsyncClient, provider: ProviderServer, stream: bool) -> None:
        provider.play({"tool_calls": [CALL]})
        tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
        text = (await http.post(CHAT, json={**SAY, "tools": tools, "stream": stream})).text
        assert '"name":"add"' in text
        assert '"finish_reason":"tool_calls"' in text
        assert provider.calls()[0]["body"]["tools"] == tools

    async def test_falls_over_as_others_do(self, http: httpx.AsyncClient, provider: ProviderServer) -> None:
        provider.play({"status": 503})
        answer = await http.post(CHAT, json=SAY)
        assert answer.headers["x-interplay-model"] == "two/up-two"

    async def test_a_stream_that_breaks_says_so(self, http: httpx.AsyncClient, provider: ProviderServer) -> None:
        provider.play({"fault": "cut"})
        text = (await http.post(CHAT, json={**SAY, "stream": True})).text
        assert '"error"' in text
        assert "[DONE]" not in text

    async def test_embeds(self, http: httpx.AsyncClient) -> None:
        answer = (await http.post("/v1/embeddings", json={"model": "vectors", "input": "abc"})).json()
        assert answer["data"][0]["embedding"] == [3.0, 1.0]

    async def test_reranks(self, http: httpx.AsyncClient) -> None:
        body = {"model": "ranks", "query": "red car", "documents": ["a tree", {"text": "a red car"}]}
        answer = (await http.post("/v1/rerank", json=body)).json()
        assert answer["results"][0]["index"] == 1

    async def test_embeds_in_base64(self, http: httpx.AsyncClient) -> None:
        body = {"model": "vectors", "input": "abc", "encoding_format": "base64"}
        answer = (await http.post("/v1/embeddings", json=body)).json()
        assert struct.unpack("<2f", base64.b64decode(answer["data"][0]["embedding"])) == (3.0, 1.0)


class TestAFieldThatItsProviderDoesNotKnow:
    @pytest.mark.parametrize(
        ("path", "body", "field"),
        [
            ("/v1/embeddings", {"model": "vectors", "input": "x", "dimensions": 2}, "dimensions"),
            ("/v1/embeddings", {"model": "vectors", "input": "x", "encoding_format": "hex"}, "encoding_format"),
            ("/v1/rerank", {"model": "ranks", "query": "x", "documents": ["x"], "rank_fields": ["x"]}, "rank_fields"),
            ("/v1/rerank", {"model": "ranks", "query": "x", "documents": ["x"], "top_n": "two"}, "top_n"),
        ],
    )
    async def test_is_named_everywhere(
        self, http: httpx.AsyncClient, provider: ProviderServer, path: str, body: dict[str, Any], field: str
    ) -> None:
        answer = await http.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
        assert not provider.calls()

    async def test_is_named(self, http: httpx.AsyncClient, provider: ProviderServer) -> None:
        answer = await http.post(CHAT, json={**SAY, "logit_bias": {}})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "logit_bias")
        assert not provider.calls()

    async def test_is_dropped_where_the_policy_says_so(self, machine: Machine, http: httpx.AsyncClient) -> None:
        await put_policy(machine, "p", Policy(drop_unsupported=True), "one")
        answer = await http.post(CHAT, json={**SAY, "model": "p", "logit_bias": {}})
        assert answer.status_code == 200

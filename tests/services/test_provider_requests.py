"""What a `chat` step says reaches the provider as it was said, and what it answers comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from interplay.adapters.openai_http.provider import OpenAIProvider
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.requests import ChatRequest, Delta
from tests.provider_server import ProviderServer, provider_server

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running


@pytest.fixture
async def provider(server: ProviderServer) -> AsyncIterator[OpenAIProvider]:
    server.play({})
    made = OpenAIProvider(Connection("here", base_url=server.url), server.url, {"authorization": "Bearer k"})
    yield made
    await made.close()


class TestChatRequests:
    async def test_every_field_is_sent(self, server: ProviderServer, provider: OpenAIProvider) -> None:
        messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, PICTURE]}]
        request = ChatRequest(
            messages, 0.5, 0.9, 20, 7, ["\n"], None, TOOLS, {"type": "function", "function": {"name": "look"}}, True
        )
        await provider.chat(Deployment("here", "m", options={"user": "u", "temperature": 0.1}), request)
        call = server.ledger[-1]
        assert call["headers"]["authorization"] == "Bearer k"
        assert call["body"] == {
            "model": "m", "messages": messages, "temperature": 0.5, "top_p": 0.9, "max_tokens": 20, "seed": 7,
            "stop": ["\n"], "tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "look"}},
            "logprobs": True, "user": "u",
        }  # fmt: skip

    async def test_what_was_not_said_is_not_sent(self, server: ProviderServer, provider: OpenAIProvider) -> None:
        await provider.chat(Deployment("here", "m"), ChatRequest([{"role": "user", "content": "Hi"}]))
        assert set(server.ledger[-1]["body"]) == {"model", "messages"}

    async def test_a_schema_is_sent_and_its_answer_checked(
        self, server: ProviderServer, provider: OpenAIProvider
    ) -> None:
        server.play({"text": '{"a": 1}'})
        answer = await provider.chat(Deployment("here", "m"), ChatRequest([], schema=SCHEMA))
        assert answer.json == {"a": 1}
        assert server.ledger[-1]["body"]["response_format"]["json_schema"]["schema"] == SCHEMA

    @pytest.mark.parametrize("streamed", [False, True])
    async def test_tool_calls_come_back_whole(
        self, server: ProviderServer, provider: OpenAIProvider, streamed: bool
    ) -> None:
        server.play({"tool_calls": [CALL, {**CALL, "id": "call_2"}]})
        heard: list[Delta] = []
        answer = await provider.chat(
            Deployment("here", "m"), ChatRequest([], tools=TOOLS), on_delta=heard.append if streamed else None
        )
        assert answer.finish == "tool_calls"
        assert [(c["id"], c["function"]) for c in answer.tool_calls] == [
            ("call_1", CALL["function"]), ("call_2", CALL["function"]),
        ]  # fmt: skip
        assert answer.usage.tokens == 12

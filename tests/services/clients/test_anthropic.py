"""Anthropic's Python SDK, unmodified, in front of chat models that speak something else, and of a flow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
import pytest_asyncio

from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORDS = "one two three four five"
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
LOOK: Any = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
COUNT: Any = [{"role": "user", "content": "Count."}]


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(machine: Machine, provider: ProviderServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=machine.url, api_key=machine.token, max_retries=0) as made:
        yield made


class TestCounting:
    @pytest.mark.parametrize("model", ["gpt", "flow/ask"])
    async def test_a_question_is_counted_without_a_call_and_said_to_be_an_estimate(
        self, sdk: anthropic.AsyncAnthropic, provider: ProviderServer, model: str
    ) -> None:
        raw = await sdk.messages.with_raw_response.count_tokens(model=model, messages=COUNT, system="Be brief.")
        assert raw.headers["x-interplay-estimated"] == "input_tokens"
        short = (await raw.parse()).input_tokens
        assert 8 <= short <= 20
        long: Any = [{"role": "user", "content": "word " * 4000}]
        tools = await sdk.messages.count_tokens(model=model, messages=long, tools=[LOOK])
        words = await sdk.messages.count_tokens(model=model, messages=long)
        assert 4000 <= words.input_tokens <= 6000
        assert tools.input_tokens > words.input_tokens
        assert provider.calls() == []

    async def test_a_picture_counts_by_itself_not_by_its_bytes(self, sdk: anthropic.AsyncAnthropic) -> None:
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 400_000}}
        talk: Any = [{"role": "user", "content": [{"type": "text", "text": "See."}, picture]}]
        assert (await sdk.messages.count_tokens(model="gpt", messages=talk)).input_tokens < 2000

    @pytest.mark.parametrize(
        ("model", "key", "error"),
        [("gptt", "", anthropic.NotFoundError), ("vectors", "", anthropic.BadRequestError),
         ("flow/none", "", anthropic.NotFoundError), ("gpt", "ik_wrong", anthropic.AuthenticationError)],
    )  # fmt: skip
    async def test_who_may_not_call_it_may_not_ask(
        self, sdk: anthropic.AsyncAnthropic, model: str, key: str, error: type[Exception]
    ) -> None:
        asking = sdk.with_options(api_key=key) if key else sdk
        with pytest.raises(error):
            await asking.messages.count_tokens(model=model, messages=COUNT)


class TestMessages:
    @pytest.mark.parametrize("model", ["gpt", "flow/ask"])
    async def test_a_message(self, sdk: anthropic.AsyncAnthropic, model: str) -> None:
        answer = await sdk.messages.create(model=model, max_tokens=50, messages=COUNT)
        assert [block.to_dict() for block in answer.content] == [{"type": "text", "text": WORDS}]
        assert (answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens) == ("end_turn", 7, 5)

    @pytest.mark.parametrize("model", ["gpt", "flow/ask"])
    async def test_a_stream(self, sdk: anthropic.AsyncAnthropic, provider: ProviderServer, model: str) -> None:
        provider.play({"pace": 0.1})
        async with sdk.messages.stream(model=model, max_tokens=50, messages=COUNT) as stream:
            pieces = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
        assert "".join(pieces) == WORDS
        assert len(pieces) > 1
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 5)

    async def test_what_is_asked_reaches_the_model_in_its_own_words(
        self, sdk: anthropic.AsyncAnthropic, provider: ProviderServer
    ) -> None:
        talk: Any = [
            {"role": "user", "content": [{"type": "text", "text": "See."},
             {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "x"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "a cat"}]},
        ]  # fmt: skip
        await sdk.messages.create(
            model="gpt", max_tokens=50, system="Be brief.", messages=talk, tools=[LOOK],
            tool_choice={"type": "any"}, stop_sequences=["!"],
        )  # fmt: skip
        body = provider.calls()[0]["body"]
        system, user, assistant, tool = body["messages"]
        assert system == {"role": "system", "content": "Be brief."}
        assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,AA=="
        assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at":"x"}'}
        assert tool == {"role": "tool", "tool_call_id": "t1", "content": "a cat"}
        assert (body["tool_choice"], body["stop"], body["max_tokens"]) == ("required", ["!"], 50)
        assert body["tools"][0]["function"]["name"] == "look"

    async def test_tools(self, sdk: anthropic.AsyncAnthropic, provider: ProviderServer) -> None:
        provider.play({"tool_calls": [CALL]})
        expected = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "x"}}
        answer = await sdk.messages.create(model="gpt", max_tokens=50, messages=COUNT, tools=[LOOK])
        assert answer.stop_reason == "tool_use"
        assert answer.content[0].to_dict() == expected
        async with sdk.messages.stream(model="gpt", max_tokens=50, messages=COUNT, tools=[LOOK]) as stream:
            final = await stream.get_final_message()
        assert (final.stop_reason, final.content[0].to_dict()) == ("tool_use", expected)


class TestWhatGoesWrong:
    async def test_has_the_error_of_its_kind(self, sdk: anthropic.AsyncAnthropic, provider: ProviderServer) -> None:
        with pytest.raises(anthropic.NotFoundError, match="gpt"):
            await sdk.messages.create(model="gtp", max_tokens=5, messages=COUNT)
        with pytest.raises(anthropic.AuthenticationError):
            await sdk.with_options(api_key="ik_wrong").messages.create(model="gpt", max_tokens=5, messages=COUNT)
        thinking: Any = {"type": "enabled", "budget_tokens": 1024}
        with pytest.raises(anthropic.BadRequestError, match="thinking"):
            await sdk.messages.create(model="gpt", max_tokens=2000, messages=COUNT, thinking=thinking)
        provider.play({"status": 429})
        with pytest.raises(anthropic.RateLimitError):
            await sdk.messages.create(model="gpt", max_tokens=5, messages=COUNT)

    async def test_a_stream_that_breaks_ends_with_an_error_and_never_looks_whole(
        self, sdk: anthropic.AsyncAnthropic, provider: ProviderServer
    ) -> None:
        provider.play({"fault": "no_done"})
        with pytest.raises(anthropic.APIStatusError):
            async with sdk.messages.stream(model="gpt", max_tokens=50, messages=COUNT) as stream:
                await stream.get_final_message()

    async def test_a_body_that_is_none_is_said_in_anthropics_shape(self, machine: Machine) -> None:
        key = {"x-api-key": machine.token}
        async with httpx.AsyncClient(base_url=machine.url, headers=key, trust_env=False) as http:
            for body in (b"{", b'{"model": "gpt", "messages": 1}', b'{"model": "gpt", "messages": [], "tools": 1}'):
                answer = await http.post("/v1/messages", content=body)
                assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")

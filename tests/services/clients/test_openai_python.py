"""OpenAI's Python SDK, unmodified, in front of models and flows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORDS = "one two three four five"
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}


class Person(BaseModel):
    name: str
    age: int


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(machine: Machine, provider: ProviderServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{machine.url}/v1", api_key=machine.token) as made:
        yield made


class TestModels:
    async def test_chat(self, sdk: openai.AsyncOpenAI) -> None:
        answer = await sdk.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "Count."}])
        assert answer.choices[0].message.content == WORDS
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 7

    async def test_stream(self, sdk: openai.AsyncOpenAI) -> None:
        stream = await sdk.chat.completions.create(
            model="gpt",
            messages=[{"role": "user", "content": "Count."}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == WORDS
        assert chunks[-1].usage is not None

    async def test_tools(self, sdk: openai.AsyncOpenAI, provider: ProviderServer) -> None:
        provider.play({"tool_calls": [CALL]})
        answer = await sdk.chat.completions.create(
            model="gpt",
            messages=[{"role": "user", "content": "Look."}],
            tools=[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
        )
        assert answer.choices[0].message.tool_calls is not None
        assert answer.choices[0].message.tool_calls[0].to_dict() == CALL

    async def test_a_parsed_schema(self, sdk: openai.AsyncOpenAI, provider: ProviderServer) -> None:
        provider.play({"text": '{"name": "Ada", "age": 36}'})
        answer = await sdk.chat.completions.parse(
            model="gpt", messages=[{"role": "user", "content": "Who?"}], response_format=Person
        )
        assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
        assert provider.calls()[0]["body"]["response_format"]["json_schema"]["name"] == "Person"

    async def test_embeddings(self, sdk: openai.AsyncOpenAI) -> None:
        answer = await sdk.embeddings.create(model="vectors", input=["a", "bcd"])
        assert [one.embedding for one in answer.data] == [[1.0, 1.0], [3.0, 1.0]]

    async def test_the_list_of_models(self, sdk: openai.AsyncOpenAI) -> None:
        assert {"gpt", "vectors", "flow/ask", "flow/ask@prod"} <= {model.id async for model in sdk.models.list()}

    async def test_what_is_wrong_is_the_error_of_its_kind(self, sdk: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.NotFoundError, match="gpt"):
            await sdk.chat.completions.create(model="gtp", messages=[{"role": "user", "content": "?"}])
        with pytest.raises(openai.AuthenticationError):
            await sdk.with_options(api_key="ik_wrong").models.list()


class TestFlows:
    async def test_a_flow_answers_and_its_run_is_named(self, sdk: openai.AsyncOpenAI, machine: Machine) -> None:
        raw = await sdk.chat.completions.with_raw_response.create(
            model="flow/ask@prod",
            messages=[{"role": "user", "content": "Count."}],
            extra_headers={"Idempotency-Key": "by-the-sdk"},
        )
        assert raw.parse().choices[0].message.content == WORDS
        async with AsyncClient(machine.url, machine.token) as client:
            assert (await client.runs.get(raw.headers["x-interplay-run"]))["status"] == "succeeded"

    async def test_a_flow_streams(self, sdk: openai.AsyncOpenAI) -> None:
        stream = await sdk.chat.completions.create(
            model="flow/ask",
            messages=[{"role": "user", "content": "Count."}],
            stream=True,
            extra_body={"interplay": {"steps": True}},
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == WORDS
        told = [c.model_extra["interplay"]["type"] for c in chunks if c.model_extra and "interplay" in c.model_extra]
        assert told[-1] == "run.succeeded"

    async def test_a_flow_that_fails_makes_one_run_whatever_the_sdk_would_retry(
        self, sdk: openai.AsyncOpenAI, provider: ProviderServer
    ) -> None:
        provider.play({"status": 500})
        with pytest.raises(openai.InternalServerError) as failed:
            await sdk.chat.completions.create(model="flow/ask", messages=[{"role": "user", "content": "Count."}])
        assert failed.value.response.headers["x-should-retry"] == "false"
        runs = {call["headers"].get("idempotency-key", "").split(":")[0] for call in provider.calls()}
        assert len(runs) == 1

"""OpenAI's Responses API by its Python SDK, unmodified, in front of chat models and a flow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from interplay.services.all_in_one.machine import Machine
from tests.provider_server import ProviderServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORDS = "one two three four five"
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
LOOK: Any = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}


class Person(BaseModel):
    name: str
    age: int


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(machine: Machine, provider: ProviderServer) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{machine.url}/v1", api_key=machine.token, max_retries=0) as made:
        yield made


class TestResponses:
    @pytest.mark.parametrize("model", ["gpt", "flow/ask"])
    async def test_a_response(self, sdk: openai.AsyncOpenAI, model: str) -> None:
        answer = await sdk.responses.create(model=model, input="Count.")
        assert (answer.status, answer.output_text) == ("completed", WORDS)
        assert answer.usage is not None
        assert (answer.usage.input_tokens, answer.usage.total_tokens) == (7, 12)

    @pytest.mark.parametrize("model", ["gpt", "flow/ask"])
    async def test_a_stream(self, sdk: openai.AsyncOpenAI, provider: ProviderServer, model: str) -> None:
        provider.play({"pace": 0.1})
        async with sdk.responses.stream(model=model, input="Count.") as stream:
            events = [event async for event in stream]
            final = await stream.get_final_response()
        pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
        assert "".join(pieces) == final.output_text == WORDS
        assert len(pieces) > 1
        assert [event.type for event in events][-1] == "response.completed"
        assert final.usage is not None

    async def test_tools_there_and_back(self, sdk: openai.AsyncOpenAI, provider: ProviderServer) -> None:
        provider.play({"tool_calls": [CALL]})
        answer = await sdk.responses.create(model="gpt", input="Look.", tools=[LOOK])
        (call,) = answer.output
        assert call.type == "function_call"
        assert (call.call_id, call.name, call.arguments) == ("call_1", "look", '{"at": "x"}')
        async with sdk.responses.stream(model="gpt", input="Look.", tools=[LOOK]) as stream:
            (streamed,) = (await stream.get_final_response()).output
        assert streamed.type == "function_call"
        assert streamed.arguments == call.arguments
        provider.play({})
        seen: Any = {"type": "function_call_output", "call_id": "call_1", "output": "a cat"}
        again: Any = [{"role": "user", "content": "Look."}, call.to_dict(), seen]
        await sdk.responses.create(model="gpt", instructions="Be brief.", input=again, tools=[LOOK])
        roles = [message["role"] for message in provider.calls()[-1]["body"]["messages"]]
        assert roles == ["system", "user", "assistant", "tool"]

    async def test_a_parsed_schema(self, sdk: openai.AsyncOpenAI, provider: ProviderServer) -> None:
        provider.play({"text": '{"name": "Ada", "age": 36}'})
        answer = await sdk.responses.parse(model="gpt", input="Who?", text_format=Person)
        assert answer.output_parsed == Person(name="Ada", age=36)

    async def test_what_goes_wrong_has_the_error_of_its_kind(
        self, sdk: openai.AsyncOpenAI, provider: ProviderServer
    ) -> None:
        with pytest.raises(openai.BadRequestError, match="whole conversation"):
            await sdk.responses.create(model="gpt", input="And?", previous_response_id="resp_1")
        with pytest.raises(openai.NotFoundError, match="gpt"):
            await sdk.responses.create(model="gtp", input="?")
        provider.play({"fault": "no_done"})
        kinds = [event.type async for event in await sdk.responses.create(model="gpt", input="Count.", stream=True)]
        assert kinds[-2:] == ["error", "response.failed"]
        assert "response.completed" not in kinds

"""The same classes against a mock that others wrote: what we believe of the protocols is not ours alone.

Not here, because aimock falls short: Bedrock's streams (AWS's own client refuses its first event), embeddings of
Cohere (its version 1), Google (batches), Bedrock and Ollama, counts of Ollama and of Groq's and Mistral's streams.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from interplay.adapters.openai_http.provider import OpenAIProvider
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Connection, Deployment, Price
from interplay.core.models.requests import ChatRequest, Delta
from tests.services.langchain.aimock_server import Aimock, aimock_server
from tests.vendors import KINDS, chat_of, provider_of
from tools.made_once import INSTALL_SECONDS

pytestmark = pytest.mark.timeout(INSTALL_SECONDS + 60)

PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": PARAMETERS}}]
COUNTS = {"input_tokens": 7, "output_tokens": 5, "prompt_tokens": 7, "completion_tokens": 5, "promptTokenCount": 7,
          "candidatesTokenCount": 5}  # fmt: skip
COUNT = {"match": {"userMessage": "Count."}, "response": {"content": "one two three", "usage": COUNTS}}
LOOK = {
    "match": {"userMessage": "Look.", "hasToolResult": False},
    "response": {"toolCalls": [{"name": "look", "arguments": {"at": "x"}}]},
}
FOUND = {"match": {"hasToolResult": True}, "response": {"content": "It is there."}}
JSON = {"match": {"userMessage": "Fit."}, "response": {"content": '{"a": 1}'}}
BUSY = {"match": {"userMessage": "Busy?"}, "response": {"error": {"message": "Slowly."}, "status": 429}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
ALL = ("openai", *KINDS)
STREAMED = pytest.mark.parametrize(
    ("kind", "streamed"),
    [(kind, streamed) for kind in ALL for streamed in (False, True) if (kind, streamed) != ("bedrock", True)],
)
COUNTED = {"ollama": (False, False), "groq": (True, False), "mistral": (True, False)}  # whole, streamed


@pytest.fixture(scope="module")
def aimock() -> Iterator[Aimock]:
    with aimock_server() as running:
        yield running


@pytest.fixture
async def provider(aimock: Aimock, kind: str) -> AsyncIterator[Any]:
    aimock.play(COUNT, LOOK, FOUND, JSON, BUSY)
    address = aimock.url + {"openai": "/v1", "mistral": "/v1"}.get(kind, "")
    options = {"api_version": "v1beta"} if kind == "google" else {}
    made: Any = (
        OpenAIProvider(Connection("openai", base_url=address), address, {})
        if kind == "openai"
        else provider_of(kind, address, **options)
    )
    yield made
    await made.close()


def model_of(kind: str) -> Deployment:
    return Deployment(kind, "gpt", Price(1.0, 2.0)) if kind == "openai" else chat_of(kind)


def user(text: str) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


@STREAMED
async def test_a_chat_gives_its_text_and_counts(provider: Any, kind: str, streamed: bool) -> None:
    heard: list[Delta] = []
    answer = await provider.chat(
        model_of(kind), ChatRequest(user("Count.")), on_delta=heard.append if streamed else None
    )
    assert (answer.text, answer.finish) == ("one two three", "stop")
    if streamed:
        assert "".join(delta.text for delta in heard) == "one two three"
        assert len(heard) > 1
    if COUNTED.get(kind, (True, True))[streamed]:
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 5)


@STREAMED
async def test_a_tool_is_called_and_its_answer_taken(aimock: Aimock, provider: Any, kind: str, streamed: bool) -> None:
    on_delta = (lambda _: None) if streamed else None
    asked = await provider.chat(model_of(kind), ChatRequest(user("Look."), tools=TOOLS), on_delta=on_delta)
    assert asked.finish == "tool_calls"
    (call,) = asked.tool_calls
    assert (call["function"]["name"], call["function"]["arguments"].replace(" ", "")) == ("look", '{"at":"x"}')
    talk = [
        *user("Look."),
        {"role": "assistant", "content": None, "tool_calls": asked.tool_calls},
        {"role": "tool", "tool_call_id": call["id"], "content": "found"},
    ]
    answer = await provider.chat(model_of(kind), ChatRequest(talk, tools=TOOLS), on_delta=on_delta)
    assert answer.text == "It is there."
    understood = aimock.bodies()[-1]
    assert [message["role"] for message in understood["messages"]] == ["system", "user", "assistant", "tool"]
    assert understood["tools"][0]["function"]["name"] == "look"


@pytest.mark.parametrize("kind", ALL)
async def test_an_answer_fits_its_schema(provider: Any, kind: str) -> None:
    assert (await provider.chat(model_of(kind), ChatRequest(user("Fit."), schema=SCHEMA))).json == {"a": 1}


@pytest.mark.parametrize("kind", ALL)
async def test_a_refusal_has_its_code(aimock: Aimock, provider: Any, kind: str) -> None:
    with pytest.raises(StepFailure) as refused:
        await provider.chat(model_of(kind), ChatRequest(user("Busy?")))
    assert refused.value.failure.code == "rate_limited"
    assert len(aimock.bodies()) == 1


@pytest.mark.parametrize("kind", ["azure", "mistral"])
async def test_embeddings_come_one_a_text(provider: Any, kind: str) -> None:
    vectors = (await provider.embed(Deployment(kind, "e"), ["a", "b"])).vectors
    assert len(vectors) == 2
    assert vectors[0] != vectors[1]

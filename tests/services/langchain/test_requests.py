"""What a request says reaches each provider in its own words, and what it has no word for is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interplay.core.failures import StepFailure
from interplay.core.models.connection_kinds import KINDS as ALL_KINDS
from interplay.core.models.registry import Deployment
from interplay.core.models.requests import ChatRequest
from tests.services.langchain.conftest import Connect
from tests.vendor_server import VendorServer
from tests.vendors import KINDS, MODELS, chat_of

USER = {"role": "user", "content": "Hi"}
PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": PARAMETERS}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Look."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "found"},
]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
LIMITED = ChatRequest([USER], temperature=0.5, top_p=0.9, max_tokens=20, stop=["END"])
BOTH = {"temperature": 0.5, "top_p": 0.9}

LIMITS: dict[str, dict[str, Any]] = {
    "anthropic": {**BOTH, "max_tokens": 20, "stop_sequences": ["END"]},
    "azure": {**BOTH, "max_completion_tokens": 20, "stop": ["END"]},
    "bedrock": {"inferenceConfig": {"temperature": 0.5, "topP": 0.9, "maxTokens": 20, "stopSequences": ["END"]}},
    "cohere": {"temperature": 0.5, "p": 0.9, "max_tokens": 20, "stop_sequences": ["END"]},
    "google": {"generationConfig": {"temperature": 0.5, "topP": 0.9, "maxOutputTokens": 20, "stopSequences": ["END"]}},
    "groq": {**BOTH, "max_tokens": 20, "stop": ["END"]},
    "mistral": {**BOTH, "max_tokens": 20, "stop": ["END"]},
    "ollama": {"options": {**BOTH, "num_predict": 20, "stop": ["END"]}},
}
SEEDS: dict[str, dict[str, Any]] = {
    "azure": {"seed": 7},
    "cohere": {"seed": 7},
    "google": {"generationConfig": {"seed": 7}},
    "groq": {"seed": 7},
    "mistral": {"random_seed": 7},
    "ollama": {"options": {"seed": 7}},
}
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "anthropic": {
        "required": {"tool_choice": {"type": "any"}},
        "none": {"tool_choice": {"type": "none"}},
        "look": {"tool_choice": {"type": "tool", "name": "look"}},
    },
    "azure": {
        "required": {"tool_choice": "required"},
        "none": {"tool_choice": "none"},
        "look": {"tool_choice": {"type": "function", "function": {"name": "look"}}},
    },
    "bedrock": {
        "required": {"toolConfig": {"toolChoice": {"any": {}}}},
        "look": {"toolConfig": {"toolChoice": {"tool": {"name": "look"}}}},
    },
    "cohere": {"required": {"tool_choice": "REQUIRED"}, "none": {"tool_choice": "NONE"}},
    "google": {
        "required": {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        "none": {"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
        "look": {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}}},
    },
    "groq": {
        "required": {"tool_choice": "required"},
        "none": {"tool_choice": "none"},
        "look": {"tool_choice": {"type": "function", "function": {"name": "look"}}},
    },
    "mistral": {
        "required": {"tool_choice": "any"},
        "none": {"tool_choice": "none"},
        "look": {"tool_choice": {"type": "function", "function": {"name": "look"}}},
    },
}
RESULTS = {
    "anthropic": '"tool_use_id": "call_1"',
    "azure": '"tool_call_id": "call_1"',
    "bedrock": '"toolUseId": "call_1"',
    "cohere": '"tool_call_id": "call_1"',
    "google": '"functionResponse"',
    "groq": '"tool_call_id": "call_1"',
    "mistral": '"role": "tool"',
    "ollama": '"role": "tool"',
}


def holds(body: Any, wanted: Any) -> bool:
    """Everything of `wanted` is in `body`; numbers as near as single precision keeps them."""
    if isinstance(wanted, dict):
        return isinstance(body, dict) and all(name in body and holds(body[name], wanted[name]) for name in wanted)
    if isinstance(wanted, float):
        return body == pytest.approx(wanted, rel=1e-6)
    return bool(body == wanted)


@pytest.mark.parametrize("kind", KINDS)
class TestEveryProvider:
    async def test_limits_are_said_in_its_words(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        await connect(kind).chat(chat_of(kind), LIMITED)
        body = vendors.ledger[-1].body
        assert holds(body, LIMITS[kind]), body

    async def test_what_was_not_said_is_not_sent(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        await connect(kind).chat(chat_of(kind), ChatRequest([USER]))
        body = json.dumps({name: value for name, value in vendors.ledger[-1].body.items() if value is not None})
        for name in ("temperature", "top_p", "topP", "seed", "stop", "format", "logprobs", "penalty"):
            assert f'"{name}' not in body

    async def test_a_talk_with_a_tools_answer_is_told(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        await connect(kind).chat(chat_of(kind), ChatRequest(TALK, tools=TOOLS))
        body = json.dumps(vendors.ledger[-1].body)
        for part in ("Be brief.", "Look.", "found", '"name": "look"', "Looks.", RESULTS[kind]):
            assert part in body

    async def test_a_picture_is_sent(self, vendors: VendorServer, connect: Connect, kind: str) -> None:
        content = [{"type": "text", "text": "What is it?"}, PICTURE]
        await connect(kind).chat(chat_of(kind), ChatRequest([{"role": "user", "content": content}]))
        body = json.dumps(vendors.ledger[-1].body)
        assert "What is it?" in body
        assert PNG in body.replace("-", "+").replace("_", "/")  # Google's is the alphabet for addresses

    async def test_a_schema_is_sent_and_its_answer_checked(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        vendors.play({"text": '{"a": 1}'}, {"text": '{"b": 1}'})
        provider, request = connect(kind), ChatRequest([USER], schema=SCHEMA)
        assert (await provider.chat(chat_of(kind), request)).json == {"a": 1}
        body = json.dumps(vendors.ledger[-1].body).replace("\\", "")
        assert '"a": {"type": "integer"}' in body
        with pytest.raises(StepFailure) as wrong:
            await provider.chat(chat_of(kind), request)
        assert wrong.value.failure.code == "invalid_output"

    async def test_its_key_and_the_connections_headers_are_sent(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        provider = connect(kind)
        await provider.chat(chat_of(kind), ChatRequest([USER]))
        await provider.chat(chat_of(kind), ChatRequest([USER]), on_delta=lambda _: None)
        for call in vendors.ledger:
            assert "key-1" in " ".join(call.headers.values())
            assert call.headers["x-team"] == "t"

    async def test_options_of_the_deployment_are_defaults(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        deployment = Deployment(kind, MODELS.get(kind, "m"), options={**BOTH, "max_tokens": 20, "stop": ["END"]})
        await connect(kind).chat(deployment, ChatRequest([USER], temperature=0.5))
        assert holds(vendors.ledger[-1].body, LIMITS[kind])

    async def test_what_it_has_no_word_for_is_refused_by_name(
        self, vendors: VendorServer, connect: Connect, kind: str
    ) -> None:
        values: dict[str, Any] = {
            "seed": 7, "logprobs": True, "top_logprobs": 2, "presence_penalty": 0.1, "frequency_penalty": 0.1,
            "json": True, "parallel_tool_calls": False, "reasoning_effort": "low", "user": "u",
            "tool_choice": "required",
        }  # fmt: skip
        provider = connect(kind)
        for name in ALL_KINDS[kind].lacks:
            request = {"tools": TOOLS, name: values[name]}
            with pytest.raises(StepFailure) as refused:
                await provider.chat(chat_of(kind), ChatRequest([USER], **request))
            assert (refused.value.failure.code, refused.value.failure.where) == ("bad_request", name)
        assert vendors.ledger == []
        everything = ChatRequest(
            [USER], tools=TOOLS, drop_unsupported=True, **{n: values[n] for n in ALL_KINDS[kind].lacks}
        )
        assert (await provider.chat(chat_of(kind), everything)).text


@pytest.mark.parametrize("kind", SEEDS)
async def test_a_seed_is_said_in_its_words(vendors: VendorServer, connect: Connect, kind: str) -> None:
    await connect(kind).chat(chat_of(kind), ChatRequest([USER], seed=7))
    assert holds(vendors.ledger[-1].body, SEEDS[kind])


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in CHOICES.items() for word in words])
async def test_a_tool_choice_is_said_in_its_words(
    vendors: VendorServer, connect: Connect, kind: str, word: str
) -> None:
    choice: Any = {"type": "function", "function": {"name": "look"}} if word == "look" else word
    await connect(kind).chat(chat_of(kind), ChatRequest([USER], tools=TOOLS, tool_choice=choice))
    assert holds(vendors.ledger[-1].body, CHOICES[kind][word]), vendors.ledger[-1].body


@pytest.mark.parametrize(("kind", "choice"), [("bedrock", "none"), ("cohere", "look")])
async def test_a_tool_choice_that_it_cannot_take_is_refused(
    vendors: VendorServer, connect: Connect, kind: str, choice: Any
) -> None:
    with pytest.raises(StepFailure, match="cannot take"):
        await connect(kind).chat(chat_of(kind), ChatRequest([USER], tools=TOOLS, tool_choice=choice))
    assert vendors.ledger == []


@pytest.mark.parametrize("kind", ["anthropic", "azure", "groq"])
async def test_the_idempotency_key_is_sent_where_it_is_honoured(
    vendors: VendorServer, connect: Connect, kind: str
) -> None:
    provider = connect(kind)
    await provider.chat(chat_of(kind), ChatRequest([USER]), idempotency_key="once-1")
    await provider.chat(chat_of(kind), ChatRequest([USER]), idempotency_key="once-2", on_delta=lambda _: None)
    assert [call.headers.get("idempotency-key") for call in vendors.ledger] == ["once-1", "once-2"]


@pytest.mark.parametrize("kind", ["bedrock", "google", "ollama"])
async def test_nobody_here_fetches_a_picture(vendors: VendorServer, connect: Connect, kind: str) -> None:
    """Their classes would: from inside this network, whatever the address."""
    content = [{"type": "image_url", "image_url": {"url": f"{vendors.url}/secret.png"}}]
    with pytest.raises(StepFailure) as refused:
        await connect(kind).chat(chat_of(kind), ChatRequest([{"role": "user", "content": content}]))
    assert (refused.value.failure.code, refused.value.failure.where) == ("bad_request", "messages[0].content[0]")
    assert vendors.ledger == []


@pytest.mark.parametrize(
    ("message", "where"),
    [
        ({"role": "robot", "content": "x"}, "messages[1]"),
        ({"role": "user", "content": [{"type": "smell"}]}, "messages[1].content[0]"),
        ({"role": "user", "content": 7}, "messages[1]"),
        ({"role": "tool", "content": "x"}, "messages[1]"),
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "messages[1].tool_calls[0]"),
    ],
)
async def test_a_message_that_is_none_is_named(
    vendors: VendorServer, connect: Connect, message: dict[str, Any], where: str
) -> None:
    with pytest.raises(StepFailure) as refused:
        await connect("groq").chat(chat_of("groq"), ChatRequest([USER, message]))
    assert (refused.value.failure.code, refused.value.failure.where) == ("bad_request", where)
    assert vendors.ledger == []

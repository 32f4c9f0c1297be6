"""What each provider answers comes back whole: text, tool calls, thoughts, usage, why it ended; streamed or not."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.models.requests import ChatAnswer, ChatRequest, Delta
from tests.services.langchain.conftest import Connect
from tests.vendor_server import VendorServer
from tests.vendors import KINDS, chat_of

USER = {"role": "user", "content": "Hi"}
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
FUNCTION = {"name": "look", "arguments": '{"at": "x"}'}
CALLS = [{"id": f"call_{n}", "type": "function", "function": FUNCTION} for n in (1, 2)]
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
# What their classes tell of: the others' lose it, or their APIs do not say it.
CACHED = ("anthropic", "azure", "bedrock", "google", "groq")
REASONING = ("azure", "google")
THOUGHTS = ("anthropic", "bedrock", "google")


class Heard:
    """The deltas of a stream, put together as a client does."""

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def __call__(self, delta: Delta) -> None:
        self.deltas.append(delta)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def reasoning(self) -> str:
        return "".join(delta.reasoning for delta in self.deltas)

    @property
    def calls(self) -> list[dict[str, Any]]:
        calls: dict[int, dict[str, Any]] = {}
        for piece in (piece for delta in self.deltas for piece in delta.tool_calls):
            call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
            call["name"] += piece.name
            call["arguments"] += piece.arguments
        return [calls[index] for index in range(len(calls))]


async def ask(provider: Any, kind: str, streamed: bool, **request: Any) -> tuple[ChatAnswer, Heard]:
    """The answer, and what was heard of it, which together must be the same."""
    heard = Heard()
    answer = await provider.chat(chat_of(kind), ChatRequest([USER], **request), on_delta=heard if streamed else None)
    if streamed:
        said = [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in answer.tool_calls]
        assert said == [(call["id"], call["name"], call["arguments"]) for call in heard.calls]
        assert (answer.text, answer.reasoning) == (heard.text, heard.reasoning)
    return answer, heard


@STREAMED
@pytest.mark.parametrize("kind", KINDS)
class TestEveryProvider:
    async def test_text_comes_with_what_it_cost(self, connect: Connect, kind: str, streamed: bool) -> None:
        answer, _ = await ask(connect(kind), kind, streamed)
        assert (answer.text, answer.finish) == ("one two three four five", "stop")
        usage = answer.usage
        assert (usage.input_tokens, usage.output_tokens, usage.calls) == (7, 5, 1)
        assert usage.usd == pytest.approx(17e-6)

    async def test_tool_calls_come_whole_and_apart(
        self, vendors: VendorServer, connect: Connect, kind: str, streamed: bool
    ) -> None:
        vendors.play({"tool_calls": CALLS})
        answer, _ = await ask(connect(kind), kind, streamed, tools=TOOLS)
        assert answer.finish == "tool_calls"
        assert [call["function"] for call in answer.tool_calls] == [FUNCTION, FUNCTION]
        ids = [call["id"] for call in answer.tool_calls]
        assert len(set(ids)) == 2
        assert ids == ["call_1", "call_2"] or kind == "ollama"  # which has no ids

    async def test_an_answer_that_was_cut_off_says_so(
        self, vendors: VendorServer, connect: Connect, kind: str, streamed: bool
    ) -> None:
        vendors.play({"finish": "length"})
        assert (await ask(connect(kind), kind, streamed))[0].finish == "length"


@STREAMED
@pytest.mark.parametrize("kind", CACHED)
async def test_cached_tokens_are_part_of_those_taken(
    vendors: VendorServer, connect: Connect, kind: str, streamed: bool
) -> None:
    vendors.play({"cached": 2})
    usage = (await ask(connect(kind), kind, streamed))[0].usage
    assert (usage.input_tokens, usage.cached_tokens) == (7, 2)


@STREAMED
@pytest.mark.parametrize("kind", REASONING)
async def test_reasoning_tokens_are_part_of_those_given(
    vendors: VendorServer, connect: Connect, kind: str, streamed: bool
) -> None:
    vendors.play({"reasoning": 3})
    usage = (await ask(connect(kind), kind, streamed))[0].usage
    assert (usage.output_tokens, usage.reasoning_tokens) == (5, 3)


@STREAMED
@pytest.mark.parametrize("kind", THOUGHTS)
async def test_thoughts_are_no_part_of_the_text(
    vendors: VendorServer, connect: Connect, kind: str, streamed: bool
) -> None:
    vendors.play({"thought": "Hm."})
    options = {"reasoning_effort": "low"} if kind == "google" else {}
    answer, _ = await ask(connect(kind), kind, streamed, **options)
    assert (answer.text, answer.reasoning) == ("one two three four five", "Hm.")


@STREAMED
@pytest.mark.parametrize("kind", ["azure", "groq"])
async def test_log_probabilities_give_a_confidence(
    vendors: VendorServer, connect: Connect, kind: str, streamed: bool
) -> None:
    vendors.play({"logprob": -0.5})
    answer, _ = await ask(connect(kind), kind, streamed, logprobs=True)
    assert answer.confidence == pytest.approx(0.60653, abs=1e-5)
    assert [entry["token"] for entry in answer.logprobs] == ["one", " two", " three", " four", " five"]

"""Anthropic's Messages in terms of chats: what each field becomes, and what each answer and error comes back as."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interplay.core.models.messages_api import MessageEvents, chat_of_messages, message_of_chat, messages_error

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}


def answer(finish: str | None = "stop", **usage: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "hello"}, "finish_reason": finish}], "usage": usage}


def kinds(raw: bytes) -> list[str]:
    return [json.loads(line[5:])["type"] for line in raw.decode().splitlines() if line.startswith("data:")]


class TestRequests:
    @pytest.mark.parametrize(
        ("choice", "said"),
        [
            ({"type": "auto"}, "auto"),
            ({"type": "any"}, "required"),
            ({"type": "none"}, "none"),
            ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ],
    )
    def test_which_tool_is_to_be_called(self, choice: dict[str, Any], said: Any) -> None:
        chat = chat_of_messages({**ASKED, "tools": [TOOL], "tool_choice": choice})
        assert chat["tool_choice"] == said
        assert "parallel_tool_calls" not in chat

    def test_one_call_at_a_time(self) -> None:
        choice = {"type": "auto", "disable_parallel_tool_use": True}
        assert chat_of_messages({**ASKED, "tools": [TOOL], "tool_choice": choice})["parallel_tool_calls"] is False

    def test_a_tool_keeps_its_description(self) -> None:
        (tool,) = chat_of_messages({**ASKED, "tools": [TOOL]})["tools"]
        function = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
        assert tool == {"type": "function", "function": function}

    def test_whose_question_it_is(self) -> None:
        assert chat_of_messages({**ASKED, "metadata": {"user_id": "u1"}})["user"] == "u1"


class TestAnswers:
    @pytest.mark.parametrize(
        ("finish", "reason"),
        [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
    )
    def test_why_it_ended(self, finish: str, reason: str) -> None:
        assert message_of_chat(answer(finish), "m")["stop_reason"] == reason

    def test_cached_tokens_are_counted_once(self) -> None:
        told = message_of_chat(
            answer(prompt_tokens=10, completion_tokens=3, prompt_tokens_details={"cached_tokens": 4}), "m"
        )
        usage = told["usage"]
        assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (6, 4, 3)

    def test_a_block_of_text_is_closed_before_that_of_a_tool(self) -> None:
        events = MessageEvents("m")
        call = {"index": 0, "id": "c", "function": {"name": "look", "arguments": "{}"}}
        deltas: list[dict[str, Any]] = [{"content": "hm"}, {"tool_calls": [call]}]
        raw = b"".join(events.chunk({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas)
        raw += events.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}) + events.end()
        found = [kind for kind in kinds(raw) if kind in ("content_block_start", "content_block_stop")]
        assert found == ["content_block_start", "content_block_stop"] * 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (404, "not_found_error"), (413, "request_too_large"),
        (429, "rate_limit_error"), (503, "overloaded_error"), (504, "timeout_error"), (500, "api_error"),
    ],
)  # fmt: skip
def test_an_error_has_the_type_that_clients_know(status: int, kind: str) -> None:
    assert messages_error(status, "no")["error"]["type"] == kind


def test_an_answer_in_parts_is_its_text() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "four"}]
    whole = message_of_chat({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}, "m")
    streamed = MessageEvents("m").chunk({"choices": [{"index": 0, "delta": {"content": parts}}]}).decode()
    for said in (json.dumps(whole), streamed):
        assert "four" in said
        assert "hm" not in said

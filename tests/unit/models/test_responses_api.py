"""OpenAI's Responses in terms of chats: what each field becomes, and what each answer comes back as."""

from __future__ import annotations

import json
from typing import Any

import pytest

from interplay.core.models.responses_api import ResponseEvents, chat_of_response, response_of_chat

ASKED: dict[str, Any] = {"model": "m", "input": "x"}
TOOL = {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": True}


def answer(finish: str = "stop", **usage: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "hello"}, "finish_reason": finish}], "usage": usage}


class TestRequests:
    def test_the_longest_answer(self) -> None:
        assert chat_of_response({**ASKED, "max_output_tokens": 7})["max_tokens"] == 7

    @pytest.mark.parametrize(
        ("choice", "said"),
        [
            ("required", "required"),
            ("none", "none"),
            ({"type": "function", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
        ],
    )
    def test_which_tool_is_to_be_called(self, choice: Any, said: Any) -> None:
        assert chat_of_response({**ASKED, "tools": [TOOL], "tool_choice": choice})["tool_choice"] == said

    def test_a_tool_keeps_its_description_and_whether_it_is_strict(self) -> None:
        (tool,) = chat_of_response({**ASKED, "tools": [TOOL]})["tools"]
        assert tool["function"] == {name: value for name, value in TOOL.items() if name != "type"}

    def test_how_much_is_to_be_thought(self) -> None:
        assert chat_of_response({**ASKED, "reasoning": {"effort": "low"}})["reasoning_effort"] == "low"

    def test_a_developer_is_the_system(self) -> None:
        chat = chat_of_response({**ASKED, "input": [{"role": "developer", "content": "Be brief."}]})
        assert chat["messages"] == [{"role": "system", "content": "Be brief."}]


class TestAnswers:
    @pytest.mark.parametrize(
        ("finish", "status", "reason"),
        [
            ("stop", "completed", None),
            ("length", "incomplete", "max_output_tokens"),
            ("content_filter", "incomplete", "content_filter"),
        ],
    )
    def test_one_that_was_cut_off_does_not_look_whole(self, finish: str, status: str, reason: str | None) -> None:
        told = response_of_chat(answer(finish), "m")
        assert told["status"] == status
        assert (told["incomplete_details"] or {}).get("reason") == reason

    def test_tokens_of_thinking_are_counted(self) -> None:
        usage = {"prompt_tokens": 1, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}
        assert response_of_chat(answer(**usage), "m")["usage"]["output_tokens_details"]["reasoning_tokens"] == 4

    def test_events_are_numbered(self) -> None:
        events = ResponseEvents("m")
        raw = events.chunk({"choices": [{"index": 0, "delta": {"content": "hello"}}]})
        raw += events.chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + events.end()
        numbers = [
            json.loads(line[5:])["sequence_number"] for line in raw.decode().splitlines() if line.startswith("data: {")
        ]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 3


def test_an_answer_in_parts_is_its_text() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "four"}]
    whole = response_of_chat({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}, "m")
    streamed = ResponseEvents("m").chunk({"choices": [{"index": 0, "delta": {"content": parts}}]}).decode()
    for said in (json.dumps(whole), streamed):
        assert "four" in said
        assert "hm" not in said

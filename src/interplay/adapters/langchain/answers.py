"""LangChain's messages as our answers: text, tool calls, usage, why it ended."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.failures import StepFailure
from interplay.core.models.pricing import cost
from interplay.core.models.registry import Price
from interplay.core.models.requests import ChatAnswer, Delta, ToolPiece
from interplay.core.models.usage import Usage, count_of

_FINISH_KEYS: Final = ("finish_reason", "stop_reason", "stopReason", "done_reason")
_FINISH: Final = {
    **dict.fromkeys(("length", "max_tokens", "model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("tool_calls", "tool_call", "tool_use", "function_call"), "tool_calls"),
    **dict.fromkeys(
        (
            "content_filter", "content_filtered", "guardrail_intervened", "refusal", "safety", "recitation",
            "blocklist", "prohibited_content", "spii", "image_safety", "error_toxic", "error_limit",
        ),
        "content_filter",
    ),
    **dict.fromkeys(("error", "malformed_function_call", "malformed_tool_use", "malformed_model_output"), "error"),
}  # fmt: skip


def finish_of(message: Any) -> str | None:
    """In OpenAI's words, or `error`; None where the message does not end an answer."""
    metadata: Mapping[str, Any] = message.response_metadata
    feedback = metadata.get("prompt_feedback")
    if isinstance(feedback, Mapping) and feedback.get("block_reason"):
        return "content_filter"
    for key in _FINISH_KEYS:
        reason = metadata.get(key)
        if reason:
            return _FINISH.get(str(getattr(reason, "name", reason)).lower(), "stop")
    return None


def usage_of(counts: Mapping[str, Any] | None, price: Price | None) -> Usage:
    """Money only where a price is known and the provider counted."""
    if not counts:
        return Usage(calls=1)
    into: Mapping[str, Any] = counts.get("input_token_details") or {}
    out: Mapping[str, Any] = counts.get("output_token_details") or {}
    usage = Usage(
        count_of(counts.get("input_tokens")),
        count_of(counts.get("output_tokens")),
        count_of(into.get("cache_read")),
        1,
        reasoning_tokens=count_of(out.get("reasoning")),
        image_tokens=count_of(into.get("image")),
        audio_tokens=count_of(into.get("audio")),
    )
    return msgspec.structs.replace(usage, usd=cost(usage, price))


def entries_of(message: Any) -> list[dict[str, Any]]:
    """OpenAI's log probabilities, one entry a token."""
    raw = message.response_metadata.get("logprobs")
    content = raw.get("content") if isinstance(raw, Mapping) else raw
    if not isinstance(content, list):
        return []
    entries = [entry if isinstance(entry, Mapping) else dict(entry) for entry in content]
    return [dict(entry) for entry in entries if isinstance(entry.get("logprob"), int | float)]


def reasoning_of(message: Any) -> str:
    """What the model says that it thought, in any of the shapes that the classes give it."""
    if isinstance(message.content, str):
        return str(message.additional_kwargs.get("reasoning_content") or "")
    return "".join(_thought(block) for block in message.content if isinstance(block, dict))


def _thought(block: dict[str, Any]) -> str:
    if block.get("type") == "reasoning_content":
        inner = block.get("reasoning_content")
        return str(inner.get("text") or "") if isinstance(inner, dict) else ""
    if block.get("type") not in ("thinking", "reasoning"):
        return ""
    direct = block.get("thinking") or block.get("reasoning")
    if isinstance(direct, str):
        return direct
    return "".join(str(part.get("text") or "") for part in block.get("summary") or () if isinstance(part, dict))


def calls_of(message: Any) -> list[dict[str, Any]]:
    """Tool calls in OpenAI's shape; those with arguments that are no JSON too, as they came."""
    whole = [(call["id"], call["name"], json.dumps(call["args"])) for call in message.tool_calls]
    broken = [(call["id"], call["name"], str(call["args"] or "")) for call in message.invalid_tool_calls]
    return [_openai_call(place, *parts) for place, parts in enumerate([*whole, *broken])]


def _openai_call(place: int, call_id: Any, name: Any, arguments: str) -> dict[str, Any]:
    function = {"name": str(name or ""), "arguments": arguments or "{}"}
    return {"id": str(call_id or f"call_{place}"), "type": "function", "function": function}


class StreamedAnswer:
    """Takes chunks one by one; counts as an answer only when it came to its own end."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []
        self._places: dict[Any, int] = {}
        self._calls: list[dict[str, Any]] = []
        self._counts: dict[str, Any] = {}
        self._counted: dict[str, Any] = {}
        self._finish: str | None = None

    def take(self, chunk: Any) -> Delta | None:
        """What is new in it, or None."""
        self._finish = finish_of(chunk) or self._finish
        self._counted = chunk.response_metadata.get("counted") or self._counted
        if chunk.usage_metadata:
            self._counts = _added(self._counts, chunk.usage_metadata)
        entries = entries_of(chunk)
        pieces = tuple(self._piece(piece) for piece in chunk.tool_call_chunks)
        text, thought = str(chunk.text), reasoning_of(chunk)
        self._texts.append(text)
        self._thoughts.append(thought)
        self._logprobs += entries
        return Delta(text, pieces, thought, tuple(entries)) if text or pieces or thought else None

    def _piece(self, piece: Mapping[str, Any]) -> ToolPiece:
        """Providers number content blocks, not calls, or nothing at all; a new id is a new call."""
        index, call_id = piece.get("index"), piece.get("id")
        key = index if index is not None else call_id
        last = max(0, len(self._calls) - 1)
        place = last if key is None else self._places.setdefault(key, len(self._calls))
        if place == len(self._calls):
            call_id = call_id or f"call_{place}"
            self._calls.append({"id": call_id, "type": "function", "function": {"name": "", "arguments": ""}})
        else:
            call_id = None  # some classes make up one for each piece
        function = self._calls[place]["function"]
        name, arguments = piece.get("name") or "", piece.get("args") or ""
        function["name"] += name
        function["arguments"] += arguments
        return ToolPiece(place, call_id, name, arguments)

    def answer(self, price: Price | None) -> ChatAnswer:
        """Raises StepFailure when the stream ended before the answer did."""
        text = "".join(self._texts)
        if self._finish is None:
            raise StepFailure(
                "unavailable", f"{self._who} ended the stream before the answer ({len(text)} letters came)."
            )
        for call in self._calls:
            call["function"]["arguments"] = call["function"]["arguments"] or "{}"
        usage = usage_of(_with_start(self._counts, self._counted), price)
        thought = "".join(self._thoughts)
        return ended(self._who, ChatAnswer(text, None, self._calls, self._finish, usage, None, thought, self._logprobs))


def whole_answer(message: Any, who: str, price: Price | None) -> ChatAnswer:
    """Raises StepFailure for an answer that says that it failed or was filtered."""
    finish = finish_of(message) or "stop"
    usage = usage_of(message.usage_metadata, price)
    parts = (str(message.text), None, calls_of(message), finish, usage, None, reasoning_of(message))
    return ended(who, ChatAnswer(*parts, entries_of(message)))


def ended(who: str, answer: ChatAnswer) -> ChatAnswer:
    """The answer with what follows from its parts. Raises StepFailure (`content_filtered`, `unavailable`)."""
    if answer.finish == "content_filter":
        raise StepFailure("content_filtered", f"{who} filtered the model's answer.", usage=answer.usage)
    if answer.finish == "error":
        raise StepFailure("unavailable", f"{who} says that the model's answer failed.", usage=answer.usage)
    numbers = [float(entry["logprob"]) for entry in answer.logprobs]
    return msgspec.structs.replace(
        answer,
        finish="tool_calls" if answer.tool_calls and answer.finish == "stop" else answer.finish,
        confidence=math.exp(math.fsum(numbers) / len(numbers)) if numbers else None,
    )


def _with_start(counts: dict[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a stream's end, with what it took from its start where the end does not say."""
    if counts.get("input_tokens") or not start:
        return counts
    cached = start.get("cache_read_input_tokens") or 0
    taken = (start.get("input_tokens") or 0) + cached + (start.get("cache_creation_input_tokens") or 0)
    return {**counts, "input_tokens": taken, "input_token_details": {"cache_read": cached}}


def _added(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Counts of chunks add up, those inside details too."""
    total = dict(left)
    for name, value in right.items():
        if isinstance(value, Mapping):
            total[name] = _added(total.get(name) or {}, value)
        elif isinstance(value, int | float):
            total[name] = (total.get(name) or 0) + value
    return total

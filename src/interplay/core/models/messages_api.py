"""Anthropic's Messages API in terms of OpenAI's chat: requests into it, answers and streams out of it.

message_start ─▶ (content_block_start ─▶ …_delta* ─▶ content_block_stop)* ─▶ message_delta ─▶ message_stop
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.models.wire import text_of

_ENCODE: Final = msgspec.json.Encoder().encode
_AS_IT_IS: Final = ("model", "max_tokens", "temperature", "top_p", "top_k", "stream", "interplay", "inputs")
_PASSED_OVER: Final = frozenset({"service_tier", "betas"})
_READ: Final = frozenset(_AS_IT_IS) | _PASSED_OVER | {
    "system", "messages", "stop_sequences", "tools", "tool_choice", "metadata", "thinking",
}  # fmt: skip
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_REASONS: Final = {
    "stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal",
}  # fmt: skip
_ERRORS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error",
    504: "timeout_error",
}  # fmt: skip


def chat_of_messages(asked: dict[str, Any]) -> dict[str, Any]:
    """The same question as a chat. Raises InvalidInput that names what has no counterpart."""
    for name in sorted(asked.keys() - _READ):
        raise InvalidInput(f"`{name}` has no counterpart for this model.", where=name, advice="Leave it out.")
    thinking = asked.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") != "disabled":
        raise InvalidInput("`thinking` has no counterpart here.", where="thinking", advice="Leave it out.")
    chat: dict[str, Any] = {name: asked[name] for name in _AS_IT_IS if name in asked}
    system = asked.get("system")
    chat["messages"] = [{"role": "system", "content": _text(system, "system")}] if system else []
    given = asked.get("messages")
    if not isinstance(given, list):
        raise InvalidInput("`messages` must be a list of messages.", where="messages")
    for number, message in enumerate(given):
        chat["messages"] += _messages(message, f"messages.{number}")
    if "stop_sequences" in asked:
        chat["stop"] = asked["stop_sequences"]
    if asked.get("tools"):
        chat["tools"] = [_tool(one, f"tools.{number}") for number, one in enumerate(asked["tools"])]
    _choose(chat, asked.get("tool_choice"))
    user = (asked.get("metadata") or {}).get("user_id")
    if user is not None:
        chat["user"] = user
    if asked.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    return chat


def _choose(chat: dict[str, Any], choice: Any) -> None:
    if not isinstance(choice, dict):
        return
    kind = choice.get("type")
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in _CHOICES:
        chat["tool_choice"] = _CHOICES[kind]
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
        raise InvalidInput("Only tools of your own can be passed on.", where=where, advice="Leave it out.")
    function = {"name": tool.get("name"), "parameters": tool.get("input_schema") or {}}
    if tool.get("description"):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _messages(message: Any, where: str) -> list[dict[str, Any]]:
    """One message, or several: what tools gave is a message of its own in a chat."""
    if not isinstance(message, dict):
        raise InvalidInput("A message must be an object.", where=where)
    role, content = message.get("role"), message.get("content")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(content if isinstance(content, list) else []):
        place = f"{where}.content.{number}"
        kind = block.get("type") if isinstance(block, dict) else None
        if kind == "text":
            parts.append({"type": "text", "text": block.get("text", "")})
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": _url(block.get("source") or {})}})
        elif kind == "tool_use":
            function = {"name": block.get("name"), "arguments": _ENCODE(block.get("input") or {}).decode()}
            calls.append({"id": block.get("id"), "type": "function", "function": function})
        elif kind == "tool_result":
            said = _text(block.get("content") or "", place)
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": said})
        elif kind not in ("thinking", "redacted_thinking"):
            raise InvalidInput(f"A block {kind!r} cannot be passed on.", where=place, advice="Send text or an image.")
    if not parts and not calls:
        return results
    plain = all(part["type"] == "text" for part in parts)
    said_here: Any = "\n".join(part["text"] for part in parts) if plain else parts
    return [*results, {"role": role, "content": said_here or None, **({"tool_calls": calls} if calls else {})}]


def _url(source: dict[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    return str(source.get("url"))


def _text(content: Any, where: str) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else [content]
    texts = [one["text"] for one in blocks if isinstance(one, dict) and isinstance(one.get("text"), str)]
    if len(texts) < len(blocks):
        raise InvalidInput("Only text can be passed on here.", where=where)
    return "\n".join(texts)


def message_of_chat(answer: dict[str, Any], model: str) -> dict[str, Any]:
    choice = answer["choices"][0]
    message = choice["message"]
    content: list[dict[str, Any]] = []
    text, _ = text_of(message.get("content"))
    if text:
        content.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or []:
        function = call["function"]
        given = msgspec.json.decode(function.get("arguments") or "{}")
        content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    reason = _REASONS.get(choice.get("finish_reason") or "stop", "end_turn")
    return {**_frame(answer, model), "content": content, "stop_reason": reason, "usage": _usage(answer.get("usage"))}


def _frame(answer: dict[str, Any], model: str) -> dict[str, Any]:
    name = f"msg_{answer.get('id') or 'interplay'}"
    return {"id": name, "type": "message", "role": "assistant", "model": model, "stop_sequence": None}


def _usage(counted: Any) -> dict[str, Any]:
    counted = counted or {}
    cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    return {
        "input_tokens": max(0, (counted.get("prompt_tokens") or 0) - cached),
        "output_tokens": counted.get("completion_tokens") or 0,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
    }


def messages_error(status: int, message: str) -> dict[str, Any]:
    kind = _ERRORS.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


class MessageEvents:
    """Chunks of a chat as the events of a message; one block at a time is open."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._begun = False
        self._number = -1
        self._open: Any = None  # "text", or the index of a tool call
        self._reason = "end_turn"
        self._counted: Any = None

    def chunk(self, chunk: dict[str, Any]) -> bytes:
        out = b"" if self._begun else self._start(chunk)
        self._counted = chunk.get("usage") or self._counted
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            text, _ = text_of(delta.get("content"))
            if text:
                out += self._block("text", {"type": "text", "text": ""})
                out += self._delta({"type": "text_delta", "text": text})
            for call in delta.get("tool_calls") or []:
                function = call.get("function") or {}
                block = {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": {}}
                out += self._block(call.get("index", 0), block)
                if function.get("arguments"):
                    out += self._delta({"type": "input_json_delta", "partial_json": function["arguments"]})
            if choice.get("finish_reason"):
                self._reason = _REASONS.get(choice["finish_reason"], "end_turn")
        return out

    def end(self) -> bytes:
        out = (b"" if self._begun else self._start({})) + self._stop()
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        out += _event("message_delta", {"delta": delta, "usage": _usage(self._counted)})
        return out + _event("message_stop", {})

    def broke(self, status: int, error: dict[str, Any]) -> bytes:
        return _event("error", messages_error(status, error["message"]))

    def alive(self) -> bytes:
        return _event("ping", {})

    def _start(self, chunk: dict[str, Any]) -> bytes:
        self._begun = True
        empty: dict[str, Any] = {"content": [], "stop_reason": None, "usage": _usage(None)}
        return _event("message_start", {"message": {**_frame(chunk, self._model), **empty}})

    def _block(self, what: Any, block: dict[str, Any]) -> bytes:
        if what == self._open:
            return b""
        out = self._stop()
        self._open, self._number = what, self._number + 1
        return out + _event("content_block_start", {"index": self._number, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._number, "delta": delta})

    def _stop(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", {"index": self._number})


def _event(kind: str, said: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _ENCODE({"type": kind, **said}))

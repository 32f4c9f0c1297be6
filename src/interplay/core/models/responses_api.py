"""OpenAI's Responses API in terms of its chat: requests into it, answers and streams out of it.

Nothing is kept between two requests, so `previous_response_id` is refused: the whole conversation is sent each time.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.models.wire import text_of

_ENCODE: Final = msgspec.json.Encoder().encode
_AS_IT_IS: Final = (
    "model", "temperature", "top_p", "stream", "parallel_tool_calls", "user", "interplay", "inputs",
    "service_tier", "safety_identifier", "prompt_cache_key",
)  # fmt: skip
_PASSED_OVER: Final = frozenset({"store", "include", "truncation", "metadata", "background", "stream_options"})
_READ: Final = frozenset(_AS_IT_IS) | _PASSED_OVER | {
    "input", "instructions", "max_output_tokens", "tools", "tool_choice", "text", "reasoning",
}  # fmt: skip
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})


def chat_of_response(asked: dict[str, Any]) -> dict[str, Any]:
    """The same question as a chat. Raises InvalidInput that names what has no counterpart."""
    for name in sorted(name for name in asked.keys() - _READ if asked[name] is not None):
        advice = "Send the whole conversation in `input`." if name == "previous_response_id" else "Leave it out."
        raise InvalidInput(f"`{name}` has no counterpart for this model.", where=name, advice=advice)
    if asked.get("background"):
        raise InvalidInput("`background` has no counterpart here.", where="background", advice="Call a flow instead.")
    chat: dict[str, Any] = {name: asked[name] for name in _AS_IT_IS if asked.get(name) is not None}
    said = asked.get("instructions")
    chat["messages"] = [{"role": "system", "content": said}] if said else []
    given = asked.get("input")
    if isinstance(given, str):
        chat["messages"].append({"role": "user", "content": given})
    elif isinstance(given, list):
        for number, item in enumerate(given):
            _add(chat["messages"], item, f"input.{number}")
    else:
        raise InvalidInput("`input` must be a text or a list of items.", where="input")
    if asked.get("max_output_tokens") is not None:
        chat["max_tokens"] = asked["max_output_tokens"]
    if asked.get("tools"):
        chat["tools"] = [_tool(one, f"tools.{number}") for number, one in enumerate(asked["tools"])]
    choice = asked.get("tool_choice")
    if choice is not None and "tools" in chat:
        named = isinstance(choice, dict) and "name" in choice
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}} if named else choice
    form = (asked.get("text") or {}).get("format") or {}
    if form.get("type") == "json_schema":
        schema = {name: form[name] for name in ("name", "schema", "strict", "description") if name in form}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif form.get("type") == "json_object":
        chat["response_format"] = form
    effort = (asked.get("reasoning") or {}).get("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort
    if asked.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    return chat


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise InvalidInput("Only tools of your own can be passed on.", where=where, advice="Leave it out.")
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}


def _add(messages: list[dict[str, Any]], item: Any, where: str) -> None:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "message":
        role = "system" if item.get("role") == "developer" else item.get("role")
        messages.append({"role": role, "content": _content(item.get("content"), where)})
    elif kind == "function_call":
        call = {"id": item.get("call_id"), "type": "function",
                "function": {"name": item.get("name"), "arguments": item.get("arguments", "{}")}}  # fmt: skip
        last = messages[-1] if messages else {}
        if last.get("role") == "assistant":
            last.setdefault("tool_calls", []).append(call)
        else:
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
    elif kind == "function_call_output":
        said = item.get("output")
        text = said if isinstance(said, str) else _content(said, where)
        messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})
    elif kind != "reasoning":
        raise InvalidInput(f"An item {kind!r} cannot be passed on.", where=where, advice="Send messages and calls.")


def _content(content: Any, where: str) -> Any:
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for given in content if isinstance(content, list) else [content]:
        part: dict[str, Any] = given if isinstance(given, dict) else {}
        kind = part.get("type")
        if kind in _TEXTS:
            parts.append({"type": "text", "text": part.get("text", "")})
        elif kind == "input_image" and part.get("image_url"):
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            raise InvalidInput(f"A part {kind!r} cannot be passed on.", where=where, advice="Send text or an image.")
    plain = all(part["type"] == "text" for part in parts)
    return "\n".join(part["text"] for part in parts) if plain else parts


def response_of_chat(answer: dict[str, Any], model: str) -> dict[str, Any]:
    choice = answer["choices"][0]
    message = choice["message"]
    name = str(answer.get("id") or "interplay")
    output: list[dict[str, Any]] = []
    text, _ = text_of(message.get("content"))
    if text:
        output.append(_message(name, text))
    output += [_call(call["id"], call["function"]) for call in message.get("tool_calls") or []]
    return _response(answer, model, output, choice.get("finish_reason"), answer.get("usage"))


def _response(answer: dict[str, Any], model: str, output: Any, finish: Any, counted: Any) -> dict[str, Any]:
    cut = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish or "")
    return {
        "id": f"resp_{answer.get('id') or 'interplay'}",
        "object": "response",
        "created_at": answer.get("created") or 0,
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": cut} if cut else None,
        "error": None,
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(counted),
    }


def _message(name: str, text: str, status: str = "completed") -> dict[str, Any]:
    content = [] if status == "in_progress" else [_part(text)]
    return {"id": f"msg_{name}", "type": "message", "role": "assistant", "status": status, "content": content}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _call(call_id: Any, function: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    given = {"name": function.get("name"), "arguments": function.get("arguments") or ""}
    return {"id": f"fc_{call_id}", "type": "function_call", "call_id": call_id, "status": status, **given}


def _usage(counted: Any) -> dict[str, Any] | None:
    if not counted:
        return None
    read, wrote = counted.get("prompt_tokens") or 0, counted.get("completion_tokens") or 0
    cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (counted.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": read,
        "output_tokens": wrote,
        "total_tokens": read + wrote,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens_details": {"reasoning_tokens": thought},
    }


class ResponseEvents:
    """Chunks of a chat as the events of a response; one item at a time is open."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._first: dict[str, Any] | None = None
        self._number = 0
        self._done: list[dict[str, Any]] = []
        self._open: Any = None  # "text", or the index of a tool call
        self._item: dict[str, Any] = {}
        self._said = ""
        self._finish: Any = None
        self._counted: Any = None

    def chunk(self, chunk: dict[str, Any]) -> bytes:
        out = self._start(chunk)
        self._counted = chunk.get("usage") or self._counted
        for choice in chunk.get("choices") or []:
            delta = choice.get("delta") or {}
            text, _ = text_of(delta.get("content"))
            if text:
                out += self._text(text)
            for call in delta.get("tool_calls") or []:
                out += self._arguments(call.get("index", 0), call.get("id"), call.get("function") or {})
            self._finish = choice.get("finish_reason") or self._finish
        return out

    def end(self) -> bytes:
        out = self._start({}) + self._stop()
        response = _response(self._first or {}, self._model, self._done, self._finish, self._counted)
        return out + self._event(f"response.{response['status']}", response=response)

    def broke(self, status: int, error: dict[str, Any]) -> bytes:  # noqa: ARG002
        code, message = error["code"] or "server_error", error["message"]
        failed = _response(self._first or {}, self._model, self._done, None, self._counted)
        failed |= {"status": "failed", "error": {"code": code, "message": message}}
        said = self._event("error", code=code, message=message, param=error["param"])
        return said + self._event("response.failed", response=failed)

    def alive(self) -> bytes:
        return b": alive\n\n"

    def _start(self, chunk: dict[str, Any]) -> bytes:
        if self._first is not None:
            return b""
        self._first = chunk
        response = {**_response(chunk, self._model, [], None, None), "status": "in_progress"}
        kinds = ("response.created", "response.in_progress")
        return b"".join(self._event(kind, response=response) for kind in kinds)

    def _text(self, text: str) -> bytes:
        out = b""
        if self._open != "text":
            name = f"{(self._first or {}).get('id') or 'interplay'}_{len(self._done)}"
            out = self._begin("text", _message(name, "", "in_progress"))
            out += self._of_item("response.content_part.added", content_index=0, part=_part(""))
        self._said += text
        return out + self._of_item("response.output_text.delta", content_index=0, delta=text, logprobs=[])

    def _arguments(self, index: Any, call_id: Any, function: dict[str, Any]) -> bytes:
        out = b""
        if self._open != index:
            empty = {"name": function.get("name"), "arguments": ""}
            out = self._begin(index, _call(call_id, empty, "in_progress"))
        text = function.get("arguments") or ""
        self._said += text
        return out + (self._of_item("response.function_call_arguments.delta", delta=text) if text else b"")

    def _begin(self, what: Any, item: dict[str, Any]) -> bytes:
        out = self._stop()
        self._open, self._item, self._said = what, item, ""
        return out + self._event("response.output_item.added", output_index=len(self._done), item=item)

    def _stop(self) -> bytes:
        if self._open is None:
            return b""
        said = self._said
        if self._open == "text":
            out = self._of_item("response.output_text.done", content_index=0, text=said, logprobs=[])
            out += self._of_item("response.content_part.done", content_index=0, part=_part(said))
            item = {**self._item, "status": "completed", "content": [_part(said)]}
        else:
            name = self._item["name"]
            out = self._of_item("response.function_call_arguments.done", arguments=said, name=name)
            item = {**self._item, "status": "completed", "arguments": said}
        out += self._event("response.output_item.done", output_index=len(self._done), item=item)
        self._done.append(item)
        self._open = None
        return out

    def _of_item(self, kind: str, **said: Any) -> bytes:
        return self._event(kind, item_id=self._item["id"], output_index=len(self._done), **said)

    def _event(self, kind: str, **said: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        data = {"type": kind, "sequence_number": number, **said}
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), _ENCODE(data))

"""OpenAI-shaped messages as LangChain's."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from interplay.core.failures import StepFailure

_PARTS = frozenset({"text", "image_url"})


def langchain_messages(messages: Iterable[dict[str, Any]], remote_images: bool) -> list[Any]:
    """Raises StepFailure (`bad_request`) that names the message which is none.

    `remote_images`: the provider fetches images itself. Where it does not, the class would fetch them from inside
    our network, so they are refused.
    """
    return [_message(message, f"messages[{place}]", remote_images) for place, message in enumerate(messages)]


def _message(message: dict[str, Any], where: str, remote_images: bool) -> Any:
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    role = message.get("role")
    content = _content(message.get("content"), where, remote_images)
    name = {"name": str(message["name"])} if message.get("name") else {}
    if role == "user":
        return HumanMessage(content, **name)
    if role in ("system", "developer"):
        return SystemMessage(content, **name)
    if role == "assistant":
        calls = [_call(call, f"{where}.tool_calls[{n}]") for n, call in enumerate(message.get("tool_calls") or ())]
        return AIMessage(content, tool_calls=calls, **name)
    if role == "tool":
        if not isinstance(message.get("tool_call_id"), str):
            raise _wrong(where, "a tool's answer names its call in `tool_call_id`")
        return ToolMessage(content, tool_call_id=message["tool_call_id"], **name)
    raise _wrong(where, f"{role!r} is no role; there are system, developer, user, assistant, tool")


def _content(content: Any, where: str, remote_images: bool) -> Any:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong(where, "`content` is neither text nor a list of parts")
    return [_part(part, f"{where}.content[{place}]", remote_images) for place, part in enumerate(content)]


def _part(part: Any, where: str, remote_images: bool) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in _PARTS:
        raise _wrong(where, f"this provider takes parts of the types {', '.join(sorted(_PARTS))}, not {kind!r}")
    if kind == "text":
        return {"type": "text", "text": str(part.get("text") or "")}
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise _wrong(where, "an image has its address in `image_url.url`")
    if not url.startswith("data:") and not (remote_images and url.startswith("https://")):
        places = "`https:` or `data:`" if remote_images else "`data:` (this provider fetches none)"
        raise _wrong(where, f"an image's address begins with {places}")
    return {"type": "image_url", "image_url": {"url": url}}


def _call(call: Any, where: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _wrong(where, "a tool call has an `id` and a `function` with `name` and `arguments`")
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        raise _wrong(where, "`function.arguments` is no JSON") from None
    if not isinstance(arguments, dict):
        raise _wrong(where, "`function.arguments` is no JSON object")
    return {"name": function["name"], "args": arguments, "id": call.get("id"), "type": "tool_call"}


def _wrong(where: str, what: str) -> StepFailure:
    return StepFailure("bad_request", f"{what[0].upper()}{what[1:]}.", where=where)

"""How many tokens a chat is, roughly: for callers who ask first, of models whose tokenizer nobody here has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interplay.core.models.wire import BYTES_A_TOKEN, PICTURE_TOKENS

_A_MESSAGE: Final = 4  # tokens around each: whose it is, and where it ends
_ENCODE: Final = msgspec.json.Encoder().encode


def roughly_counted(chat: Mapping[str, Any]) -> int:
    """A request in OpenAI's shape, as it is sent: every fourth byte of its texts, calls and tools, and some more for
    each message and picture."""
    total = 0
    for message in chat["messages"]:
        total += _A_MESSAGE + _content(message.get("content"))
        calls = message.get("tool_calls")
        total += len(_ENCODE(calls)) // BYTES_A_TOKEN if calls else 0
    tools = chat.get("tools")
    return total + (len(_ENCODE(tools)) // BYTES_A_TOKEN if tools else 0)


def _content(content: Any) -> int:
    if isinstance(content, str):
        return -(-len(content.encode("utf-8", "replace")) // BYTES_A_TOKEN)
    if not isinstance(content, list):
        return 0
    return sum(PICTURE_TOKENS if part.get("type") == "image_url" else _content(part.get("text")) for part in content)

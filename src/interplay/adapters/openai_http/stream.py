"""A streamed chat answer, put together: it counts only when it came to its own end."""

from __future__ import annotations

import json
from typing import Any

from interplay.adapters.openai_http.errors import malformed
from interplay.adapters.openai_http.shapes import token_entries
from interplay.core.failures import StepFailure
from interplay.core.models.requests import Delta, ToolPiece
from interplay.core.models.wire import text_of
from interplay.ports.model_provider import OnDelta


class StreamedChat:
    """Takes events one by one. `done` after `[DONE]`; an answer without it or a finish reason is broken."""

    def __init__(self, who: str, on_delta: OnDelta) -> None:
        self._who = who
        self._on_delta = on_delta
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._tools: dict[int, dict[str, Any]] = {}
        self.logprobs: list[dict[str, Any]] = []
        self.finish: str | None = None
        self.usage: Any = None
        self.done = False

    def take(self, data: bytes) -> bool:
        """True when the event held content. Raises StepFailure for one that is malformed or an error."""
        if data == b"[DONE]":
            self.done = True
            return False
        try:
            event = json.loads(data)
        except ValueError:
            raise malformed(self._who, data) from None
        if not isinstance(event, dict):
            raise malformed(self._who, data)
        if event.get("error"):
            error = event["error"]
            message = error.get("message") if isinstance(error, dict) else error
            raise StepFailure("unavailable", f"{self._who} broke its answer off: {message}")
        self.usage = event.get("usage") or self.usage
        content = False
        for choice in event.get("choices") or ():
            content = self._choice(choice) or content
        return content

    def _choice(self, choice: dict[str, Any]) -> bool:
        delta = choice.get("delta") or {}
        self.finish = choice.get("finish_reason") or self.finish
        entries = token_entries(choice)
        self.logprobs += entries
        pieces = tuple(self._tool(call) for call in delta.get("tool_calls") or ())
        text, thoughts = text_of(delta.get("content"))
        thought = thoughts or delta.get("reasoning_content") or delta.get("reasoning") or ""
        thought = thought if isinstance(thought, str) else ""
        self._texts.append(text)
        self._thoughts.append(thought)
        if text or pieces or thought:
            self._on_delta(Delta(text, pieces, thought, tuple(entries)))
        return bool(text or pieces or thought)

    def _tool(self, call: dict[str, Any]) -> ToolPiece:
        index = int(call.get("index", 0))
        known = self._tools.setdefault(index, {"type": "function", "function": {"name": "", "arguments": ""}})
        if call.get("id"):
            known["id"] = call["id"]
        function = call.get("function") or {}
        known["function"]["name"] += function.get("name") or ""
        known["function"]["arguments"] += function.get("arguments") or ""
        return ToolPiece(index, call.get("id"), function.get("name") or "", function.get("arguments") or "")

    def message(self) -> dict[str, Any]:
        """Raises StepFailure when the stream ended before the answer did."""
        if self.finish is None:
            got = len("".join(self._texts))
            raise StepFailure("unavailable", f"{self._who} ended the stream before the answer ({got} characters came).")
        return {
            "content": "".join(self._texts),
            "tool_calls": [self._tools[i] for i in sorted(self._tools)],
            "reasoning_content": "".join(self._thoughts),
        }

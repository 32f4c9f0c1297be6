"""What a caller was told, and whether that is honest: whole, or plainly an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Told:
    """`broken`: the transfer broke off, which any client takes for an error. `late`: nothing, or no end, in time."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    broken: bool = False
    late: bool = False

    @property
    def streamed(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    @property
    def events(self) -> list[Any]:
        lines = self.body.decode(errors="replace").splitlines()
        data = [line[5:].strip() for line in lines if line.startswith("data:")]
        return [_parsed(one) for one in data]

    @property
    def said(self) -> Any:
        return _parsed(self.body.decode(errors="replace"))

    @property
    def finish(self) -> str:
        """Why the answer ended, as it says; empty where it does not."""
        parts = self.events if self.streamed else [self.said]
        reasons = [choice.get("finish_reason") for part in parts for choice in _choices(part)]
        return next((str(reason) for reason in reasons if reason), "")

    @property
    def text(self) -> str:
        if self.streamed:
            deltas = [choice.get("delta") or {} for event in self.events for choice in _choices(event)]
            return "".join(delta.get("content") or "" for delta in deltas)
        return "".join(str((choice.get("message") or {}).get("content") or "") for choice in _choices(self.said))

    @property
    def error(self) -> bool:
        """It says that it failed: by its status, or by an event of its stream."""
        if self.status >= 400:
            return True
        return self.streamed and (b"event: error" in self.body or any(map(_is_error, self.events)))

    @property
    def hidden(self) -> bool:
        """An error in a 200 that is no stream, or no answer at all in it."""
        return self.status == 200 and not self.streamed and not _choices(self.said)

    @property
    def ended(self) -> bool:
        """It looks whole to a client."""
        if self.error or self.broken or self.late or self.hidden or self.status != 200:
            return False
        return not self.streamed or "[DONE]" in self.events

    @property
    def honest_failure(self) -> bool:
        return not self.late and (self.error or self.broken)

    def __str__(self) -> str:
        if self.late:
            return f"{self.status or 'nothing'}, and no end in time"
        if self.broken:
            return f"{self.status}, then broken off" if self.status else "connection broken"
        if self.status >= 400:
            return str(self.status)
        if self.hidden:
            return f"{self.status} without an answer in it"
        if self.error:
            return f"{self.status}, then an error"
        if self.streamed and not self.ended:
            return f"{self.status}, ends without a word"
        return f"{self.status}, ends as if whole: {self.text[:24]!r}, {self.finish or 'no finish_reason'}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _choices(part: Any) -> list[dict[str, Any]]:
    found = part.get("choices") if isinstance(part, dict) else None
    return [choice for choice in found if isinstance(choice, dict)] if isinstance(found, list) else []


def _is_error(event: Any) -> bool:
    return isinstance(event, dict) and bool(event.get("error"))

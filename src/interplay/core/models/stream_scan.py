"""A streamed answer on its way through: whole events only, and whether it came to its own end.

What comes before the first content is held back, so that a stream which fails until then can still be answered by
another deployment, with a true status. What is passed on keeps every byte.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from interplay.core.models.usage import Usage
from interplay.core.models.wire import NOTHING, RawUsage, is_there, length_of

MOST_BYTES: Final = 8 * 1024 * 1024  # of one event, and of what is held
_LINE: Final = re.compile(rb"\r\n|\n|\r")  # the standard has three ends of a line, in one stream if need be
_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_EMPTY: Final = frozenset({b"[]", b"{}"})


class _Delta(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING
    audio: msgspec.Raw = NOTHING


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    index: Any = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: RawUsage | None = None
    error: msgspec.Raw = NOTHING


_CHUNK: Final = msgspec.json.Decoder(_Chunk)


class StreamScan:
    """`feed` gives what may be passed on now. `keep_usage`: its caller asked for the event that counts.

    `began`: content was passed on; a reason to end, with nothing before it, is none. `finish`: the reason the answer
    gave for its end. `done`: `[DONE]` came. `text`: what was said so far, where `keep_text`; None: also something that
    is no text, or by several. `broken`: why nothing more is to be expected of it, where the stream itself shows that.
    """

    __slots__ = (
        "_choices", "_cut", "_ended", "_held", "_held_bytes", "_keep_usage", "_rest",
        "_said", "began", "broken", "characters", "done", "finish", "usage",
    )  # fmt: skip

    def __init__(self, *, keep_usage: bool = True, keep_text: bool = False) -> None:
        self._said: list[Any] | None = [] if keep_text else None
        self._keep_usage = keep_usage
        self._rest = b""
        self._cut = False  # an event was passed on up to a CR whose LF may follow; `_rest` has that CR, to be told
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._choices = 1  # as many as were seen
        self._ended: set[int] = set()
        self.began = False
        self.broken: str | None = None
        self.characters = 0
        self.done = False
        self.finish: str | None = None
        self.usage: Usage | None = None

    @property
    def text(self) -> str | None:
        said = self._said
        if said is None or self._choices > 1 or not all(isinstance(part, str) for part in said):
            return None
        return "".join(said)

    @property
    def whole(self) -> bool:
        """It came to its own end: it said of each of its answers why it ended, or that it is done."""
        return self.broken is None and (self.done or len(self._ended) >= self._choices)

    def feed(self, data: bytes) -> bytes:
        if self.done or self.broken is not None:
            return self._line_feed(data)
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if b"\r" in data:
            events = self._split(data)
        else:
            parts = data.split(b"\n\n")
            self._rest = parts.pop()
            events = [part + b"\n\n" for part in parts]
        if len(self._rest) > MOST_BYTES:
            self.broken = f"one event is over {MOST_BYTES // 1024**2} MiB"
            return b""
        passed = [event for event in events if self._take(event)]
        if not passed:
            return b""
        if self.began:
            if self._held:
                passed = [*self._held, *passed]
                self._held = []
            return passed[0] if len(passed) == 1 else b"".join(passed)
        return self._hold(passed)

    def held(self) -> bytes:
        """What was held back and never passed on: of an answer that ends without content."""
        held, self._held = b"".join(self._held), []
        return held

    def _split(self, data: bytes) -> list[bytes]:
        """Where lines end with CR. An event is whole at a CR; an LF that comes later still belongs to it."""
        events, begin = [], 0
        if self._cut:
            self._cut = False
            begin = 1
            if data.startswith(b"\n", 1):
                begin = 2
                events.append(b"\n")
        for end in _END.finditer(data, begin):
            events.append(data[begin : end.end()])
            begin = end.end()
        self._rest = data[begin:]
        if not self._rest and data.endswith(b"\r"):
            self._cut, self._rest = True, b"\r"
        return events

    def _line_feed(self, data: bytes) -> bytes:
        """Nothing follows the end but the rest of its own last line."""
        if not self._cut or not data:
            return b""
        self._cut = False
        return b"\n" if self.broken is None and data.startswith(b"\n") else b""

    def _hold(self, passed: list[bytes]) -> bytes:
        self._held += passed
        self._held_bytes += sum(map(len, passed))
        if self._held_bytes > MOST_BYTES:
            self.broken = f"nothing of it is content after {MOST_BYTES // 1024**2} MiB"
        return b""

    def _take(self, event: bytes) -> bool:
        """Whether it is passed on. Events that carry no data are."""
        if self.done or self.broken is not None:
            self._cut = False
            return False
        if event.startswith(b"data: {") and event.count(b"\n") == 2 and b"\r" not in event:
            return self._look(event[6:-2])
        data = data_of(event)
        if data is None:
            return True
        if data.strip() == b"[DONE]":
            self.done = True
            return True
        return self._look(data)

    def _look(self, data: bytes) -> bool:
        try:
            chunk = _CHUNK.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.broken = "an event in it is no JSON of a chat answer"
            return False
        if chunk.error is not NOTHING and is_there(chunk.error):
            self.broken = _said(chunk.error)
            return False
        choices = chunk.choices
        if choices:
            for choice in choices:
                self._choose(choice)
        if chunk.usage is not None:
            self.usage = chunk.usage.counted()
            if not choices and not self._keep_usage:
                return False
        return True

    def _choose(self, choice: _Choice) -> None:
        delta = choice.delta
        text: str | list[msgspec.Raw] | None = choice.text
        index = choice.index if choice.index.__class__ is int else 0
        if index >= self._choices:
            self._choices = index + 1
        if choice.finish_reason is not None:
            self.finish = choice.finish_reason
            self._ended.add(index)
        if delta is not None:
            if self._said is not None:
                self._said += [part for part in (delta.content, *_others(delta)) if part]
            text = delta.content or delta.reasoning_content or delta.refusal or text
            if delta.tool_calls is not NOTHING and _shows(delta.tool_calls):
                self.characters += len(bytes(delta.tool_calls))
                self.began = True
            elif (delta.function_call is not NOTHING and _shows(delta.function_call)) or (
                delta.audio is not NOTHING and _shows(delta.audio)
            ):
                self.began = True
        if text:
            self.characters += length_of(text)
            self.began = True


def _others(delta: _Delta) -> list[msgspec.Raw]:
    return [raw for raw in (delta.tool_calls, delta.function_call, delta.audio) if _shows(raw)]


def _shows(raw: msgspec.Raw) -> bool:
    """Some servers send an empty list of calls with each piece of an answer: there is nothing of it in that."""
    return is_there(raw) and bytes(raw) not in _EMPTY


def events_of(data: bytes) -> list[bytes]:
    """Whole events, as they are passed on, one by one."""
    found, begin = [], 0
    for end in _END.finditer(data):
        found.append(data[begin : end.start()])
        begin = end.end()
    if data[begin:].strip():
        found.append(data[begin:])
    return found


def data_of(event: bytes) -> bytes | None:
    """What an event carries, whatever stands beside it (`event:`, `id:`, comments); None: nothing."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(event) if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _said(raw: msgspec.Raw) -> str:
    error: Any = msgspec.json.decode(raw)
    message = error.get("message") if isinstance(error, dict) else error
    return f"it says: {str(message)[:300]}"

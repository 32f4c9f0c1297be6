"""What the scripted upstream does with one request: in full OpenAI shapes, so that no strict reader is wronged."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.faults.scripted import Asked

Act = Callable[[Asked], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
BAD = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"ind\n\n'
USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
TEXT = "one two three four five"


def _event(delta: dict[str, Any], finish: str | None = None, usage: dict[str, int] | None = None) -> bytes:
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "scripted"}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({**said, "choices": [choice], **({"usage": usage} if usage else {})}).encode()


ROLE = _event({"role": "assistant", "content": ""})
WORDS = [_event({"content": word}) for word in ("one ", "two ", "three ", "four ", "five")]
TWO = (ROLE, *WORDS[:2])
BIG = _event({"content": "w" * 60_000})


def stop(finish: str = "stop", usage: dict[str, int] | None = USAGE) -> bytes:
    return _event({}, finish, usage)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def response(status: int, body: bytes, content_type: str = "application/json", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def completion(finish: str = "stop", usage: dict[str, int] | None = USAGE) -> bytes:
    said: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000}
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}]
    said |= {"model": "scripted", "choices": choices}
    return json.dumps({**said, **({"usage": usage} if usage else {})}).encode()


def answers(finish: str = "stop", usage: dict[str, int] | None = USAGE) -> Act:
    async def play(asked: Asked) -> None:
        if asked.stream:
            await asked.say(HEAD, *map(chunk, [ROLE, *WORDS, stop(finish, usage), DONE]), LAST)
        else:
            await asked.say(response(200, completion(finish, usage)))

    return play


def refuses(status: int, code: str = "no", message: str = "as the script says", headers: str = "") -> Act:
    body = json.dumps({"error": {"message": message, "type": code, "param": None, "code": code}}).encode()
    return says(response(status, body, headers=headers))


def says(*parts: bytes) -> Act:
    """These bytes, and then whatever comes next on the connection."""
    return lambda asked: asked.say(*parts)


def says_and_resets(*parts: bytes) -> Act:
    async def play(asked: Asked) -> None:
        await asked.say(*parts)
        linger = struct.pack("ii", 1, 0)
        asked.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        asked.writer.transport.abort()
        raise ConnectionResetError("as the script says")

    return play


def says_and_ends(*parts: bytes) -> Act:
    async def play(asked: Asked) -> None:
        await asked.say(*parts)
        raise ConnectionAbortedError("as the script says")

    return play


def says_and_waits(*parts: bytes) -> Act:
    """Silent after these, until it is left."""

    async def play(asked: Asked) -> None:
        await asked.say(*parts)
        await asked.until_left()

    return play


def streams(*events: bytes) -> tuple[bytes, ...]:
    """The beginning of a stream with these events."""
    return (HEAD, *map(chunk, events))


def in_turn(*acts: Act) -> Act:
    """Each call plays the next one; the last is played for ever."""
    left = list(acts)

    async def play(asked: Asked) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(asked)

    return play

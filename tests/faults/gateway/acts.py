"""What scripted upstreams do with one request: they answer, refuse, or break in every way that is known."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from tests.services.gateway.raw_upstream import DONE, HEAD, LAST, Asked, chunk

Act = Callable[[Asked], Awaitable[None]]
USAGE = {"prompt_tokens": 7, "completion_tokens": 5}
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
BAD = b'data: {"choices":[{"ind\n\n'


def event(content: str) -> bytes:
    said = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}
    return b"data: %s\n\n" % json.dumps(said).encode()


def stop(finish: str = "stop", usage: dict[str, int] | None = USAGE) -> bytes:
    said: dict[str, Any] = {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    if usage is not None:
        said["usage"] = usage
    return b"data: %s\n\n" % json.dumps(said).encode()


WORDS = [event(word) for word in ("one ", "two ", "three ", "four ", "five")]


def response(status: int, body: bytes, content_type: str = "application/json", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def completion(finish: str = "stop", usage: dict[str, int] | None = USAGE) -> bytes:
    message = {"role": "assistant", "content": "one two three four five"}
    said: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    if usage is not None:
        said["usage"] = usage
    return json.dumps(said).encode()


def wants_stream(asked: Asked) -> bool:
    return bool(json.loads(asked.body).get("stream"))


def answers(finish: str = "stop", usage: dict[str, int] | None = USAGE) -> Act:
    async def play(asked: Asked) -> None:
        if wants_stream(asked):
            await asked.say(HEAD, *map(chunk, [ROLE, *WORDS, stop(finish, usage), DONE]), LAST)
        else:
            await asked.say(response(200, completion(finish, usage)))

    return play


async def answers_and_ends(asked: Asked) -> None:
    """Closes the connection after an answer that did not say so."""
    await answers()(asked)
    raise ConnectionAbortedError("as the script says")


def refuses(status: int, code: str = "no", message: str = "as the script says", headers: str = "") -> Act:
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return says(response(status, body, headers=headers))


def says(*parts: bytes) -> Act:
    """These bytes, and then whatever comes next on the connection."""
    return lambda asked: asked.say(*parts)


def says_and_resets(*parts: bytes) -> Act:
    async def play(asked: Asked) -> None:
        await asked.say(*parts)
        reset(asked)

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


def reset(asked: Asked) -> None:
    """A true reset, not an end in good order."""
    asked.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    asked.writer.transport.abort()
    raise ConnectionResetError("as the script says")

"""Other APIs in front of chat models: a request is translated into a chat, and its answer, stream or error back.

The call itself is the same as every other: same keys, policies, limits and usage. Models and flows alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from interplay.core.errors import InterplayError, InvalidInput
from interplay.core.failures import Failure
from interplay.core.models.messages_api import MessageEvents, chat_of_messages, message_of_chat, messages_error
from interplay.core.models.responses_api import ResponseEvents, chat_of_response, response_of_chat
from interplay.core.models.stream_scan import data_of, events_of
from interplay.core.models.wire import error_in, peek, taken_apart
from interplay.services.gateway.answers import Pair
from interplay.services.gateway.asgi import AsgiFace, Receive, Scope, Send, answer, forward, read_body
from interplay.services.gateway.errors import error_of, refused
from interplay.use_cases.forward_call import Call
from interplay.use_cases.forward_parts import Endpoint, ForwardParts, Incoming

_ENCODE: Final = msgspec.json.Encoder().encode


class Events(Protocol):
    """A streamed chat in another API's events."""

    def chunk(self, chunk: dict[str, Any]) -> bytes: ...

    def end(self) -> bytes: ...

    def broke(self, status: int, error: dict[str, Any]) -> bytes: ...

    def alive(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """`asked`: a request as a chat. `answered`, `error`: back; `events`: of a stream, by the name of the model.

    Without `error` errors stay as they are.
    """

    shown: str
    asked: Callable[[dict[str, Any]], dict[str, Any]]
    answered: Callable[[dict[str, Any], str], dict[str, Any]]
    error: Callable[[int, str], dict[str, Any]] | None
    events: Callable[[str], Events]


MESSAGES: Final = Dialect("POST /v1/messages", chat_of_messages, message_of_chat, messages_error, MessageEvents)
RESPONSES: Final = Dialect("POST /v1/responses", chat_of_response, response_of_chat, None, ResponseEvents)
DIALECTS: Final = {"/v1/messages": MESSAGES, "/v1/responses": RESPONSES}


class TranslatingFace(AsgiFace):
    __slots__ = ("_dialect", "_events", "_model")

    def __init__(self, dialect: Dialect, model: str) -> None:
        super().__init__()
        self._dialect = dialect
        self._model = model
        self._events = dialect.events(model)

    def whole(self, call: Call, status: int, content_type: bytes, body: bytes) -> None:
        if status >= 400:
            body = said_in(self._dialect, status, body)
        else:
            try:
                body = _ENCODE(self._dialect.answered(msgspec.json.decode(body), self._model))
            except (msgspec.DecodeError, KeyError, TypeError, IndexError):
                strange = Failure("unavailable", "The model's answer cannot be translated; it is not whole.")
                status, body, _ = self.refused(strange)
        super().whole(call, status, content_type, body)

    def refused(self, wrong: InterplayError | Failure) -> tuple[int, bytes, list[Pair]]:
        return refused_in(self._dialect, wrong)

    def data(self, data: bytes) -> None:
        out = b""
        for event in events_of(data):
            said = data_of(event)
            if said is None:
                out += self._events.alive()
            elif said.strip() == b"[DONE]":
                out += self._events.end()
            else:
                out += self._events.chunk(msgspec.json.decode(said))
        if out:
            super().data(out)

    def broke(self, wrong: InterplayError | Failure) -> None:
        super().data(self._events.broke(*error_of(wrong)))
        self.end()


def refused_in(dialect: Dialect, wrong: InterplayError | Failure) -> tuple[int, bytes, list[Pair]]:
    status, body, headers = refused(wrong)
    return status, said_in(dialect, status, body), headers


def said_in(dialect: Dialect, status: int, body: bytes) -> bytes:
    """An error in OpenAI's shape as this dialect has it."""
    return body if dialect.error is None else _ENCODE(dialect.error(status, error_in(body)[1]))


def token_in(scope: Scope, token: bytes) -> bytes:
    """`token`: of `Authorization`; Anthropic's clients send theirs in `x-api-key`."""
    return token or next((value for name, value in scope["headers"] if name == b"x-api-key"), b"")


async def translate(
    parts: ForwardParts, dialect: Dialect, scope: Scope, receive: Receive, send: Send, token: bytes
) -> None:
    token = token_in(scope, token)
    try:
        parts.admit.authenticate(token)
        body = await read_body(receive)
        model = peek(body).model  # raises where it is no JSON, too
        chat = dialect.asked(taken_apart(body))
    except InterplayError as wrong:
        await answer(send, *refused_in(dialect, wrong))
        return
    except ConnectionError:
        return
    except (TypeError, ValueError, AttributeError, LookupError):
        strange = InvalidInput(f"The body is not what {dialect.shown} takes.", where="body")
        await answer(send, *refused_in(dialect, strange))
        return
    endpoint = Endpoint("chat", "chat/completions", dialect.shown)
    incoming = Incoming(endpoint, _ENCODE(chat), token, scope["headers"])
    await forward(parts, incoming, receive, send, TranslatingFace(dialect, model))

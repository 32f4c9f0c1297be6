"""`POST /v1/messages/count_tokens`: how long a question is, before it is asked.

No model is called and nothing is charged. The count is an estimate, and its header says so.
"""

from __future__ import annotations

from typing import Final

import msgspec

from interplay.core.errors import InterplayError, InvalidInput, NotFound
from interplay.core.flows.as_model import PREFIX
from interplay.core.models.messages_api import chat_of_messages
from interplay.core.models.token_count import roughly_counted
from interplay.core.models.wire import peek, taken_apart
from interplay.services.gateway.answers import Stages
from interplay.services.gateway.asgi import Receive, Scope, Send, answer, read_body
from interplay.services.gateway.translating import MESSAGES, refused_in, token_in
from interplay.use_cases.forward_find import find_caller, find_model
from interplay.use_cases.forward_parts import Endpoint, ForwardParts, Incoming

PATH: Final = "/v1/messages/count_tokens"
_ENDPOINT: Final = Endpoint("chat", "chat/completions", f"POST {PATH}")
_ESTIMATED: Final = (b"x-interplay-estimated", b"input_tokens")
_ENCODE: Final = msgspec.json.Encoder().encode


async def count_tokens(parts: ForwardParts, scope: Scope, receive: Receive, send: Send, token: bytes) -> None:
    stages = Stages(parts.clock.monotonic)
    try:
        found = await _counted(parts, scope, receive, token_in(scope, token), stages)
    except InterplayError as wrong:
        status, body, headers = refused_in(MESSAGES, wrong)
        await answer(send, status, body, [*headers, stages.timing()])
    except ConnectionError:
        return
    else:
        await answer(send, 200, _ENCODE({"input_tokens": found}), [_ESTIMATED, stages.timing()])


async def _counted(parts: ForwardParts, scope: Scope, receive: Receive, token: bytes, stages: Stages) -> int:
    """Raises InterplayError: who may not call the model may not ask about it."""
    with stages.stage(b"auth"):
        parts.admit.authenticate(token)
    incoming = Incoming(_ENDPOINT, await read_body(receive), token, scope["headers"])
    caller = find_caller(parts, incoming)
    name = peek(incoming.body).model
    if parts.flows is not None and name.startswith(PREFIX):
        published = await parts.flows.names(caller)
        if name not in published:
            raise NotFound.named("model", name, published)
    else:
        find_model(parts, caller, incoming, name)
    try:
        return roughly_counted(chat_of_messages(taken_apart(incoming.body)))
    except (TypeError, ValueError, AttributeError, LookupError):
        raise InvalidInput(f"The body is not what POST {PATH} takes.", where="body") from None

"""Calls of models whose upstream does not speak OpenAI's API: through a provider, and back into OpenAI's shape."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence, Set
from struct import pack
from typing import Any, Final

import msgspec

from interplay.core.errors import NotFound
from interplay.core.failures import Failure, StepFailure
from interplay.core.models.call_plan import Try
from interplay.core.models.requests import ChatAnswer, ChatRequest, Delta, EmbedAnswer, RerankAnswer, ToolPiece
from interplay.core.models.usage import Usage
from interplay.core.models.wire import DONE, Asked
from interplay.ports.model_provider import ModelProvider
from interplay.ports.upstream import AnswerHead, Sending
from interplay.use_cases.forward_attempt import Attempt
from interplay.use_cases.forward_parts import ForwardParts

_JSON: Final = AnswerHead(200, b"application/json")
_EVENTS: Final = AnswerHead(200, b"text/event-stream")
_ENCODE: Final = msgspec.json.Encoder().encode
_CHAT: Final = frozenset(
    {"temperature", "top_p", "seed", "tools", "tool_choice", "logprobs", "top_logprobs", "presence_penalty",
     "frequency_penalty", "parallel_tool_calls", "reasoning_effort", "user"}
)  # fmt: skip
_READ: Final = _CHAT | {
    "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "stop",
    "response_format", "metadata", "store",
}  # fmt: skip
_EMBED: Final = frozenset({"model", "input", "encoding_format", "user"})
_RERANK: Final = frozenset({"model", "query", "documents", "top_n"})


class TaskSending(Sending):
    """A call that a task makes."""

    __slots__ = ("_task",)

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    def abort(self) -> None:
        if self._task is not asyncio.current_task():
            self._task.cancel()


async def answer_typed(parts: ForwardParts, project_id: int, attempt: Attempt, step: Try, asked: Asked) -> None:
    """The attempt hears the answer as if an upstream had sent it."""
    drop = step.model.policy.drop_unsupported
    try:
        provider = await parts.provider_of(project_id, attempt.live.connection)
        if "messages" in asked.fields:
            await _chat(provider, attempt, asked, chat_request(asked, drop=drop), step.model.policy.timeouts.idle)
        elif "query" in asked.fields:
            await _rerank(provider, attempt, asked, drop=drop)
        else:
            await _embed(provider, attempt, asked, drop=drop)
    except StepFailure as failed:
        attempt.fail(failed.failure)
    except NotFound as missing:  # the secret of the connection
        attempt.fail(Failure("unauthorized", missing.detail, missing.where, missing.advice))


async def _chat(
    provider: ModelProvider, attempt: Attempt, asked: Asked, request: ChatRequest, idle: float | None
) -> None:
    deployment = attempt.live.deployment
    if not asked.stream:
        answer = await provider.chat(deployment, request, idle=idle)
        _whole(attempt, _completion(asked.model, answer))
        return

    def begin() -> None:
        if not attempt.headed_at:
            attempt.head(_EVENTS)
            attempt.data(_chunk(asked.model, {"role": "assistant", "content": ""}, None))

    def heard(delta: Delta) -> None:
        begin()
        attempt.data(_piece(asked.model, delta))

    answer = await provider.chat(deployment, request, on_delta=heard, idle=idle)
    begin()
    attempt.data(_chunk(asked.model, {}, answer.finish))
    attempt.data(b"data: %s\n\n" % _ENCODE({**_frame(asked.model), "choices": [], "usage": _usage(answer.usage)}))
    attempt.data(DONE)
    attempt.done()


def _piece(model: str, delta: Delta) -> bytes:
    said: dict[str, Any] = {}
    if delta.text:
        said["content"] = delta.text
    if delta.reasoning:
        said["reasoning_content"] = delta.reasoning
    if delta.tool_calls:
        said["tool_calls"] = [_tool(piece) for piece in delta.tool_calls]
    return _chunk(model, said, None, delta.logprobs)


def _tool(piece: ToolPiece) -> dict[str, Any]:
    """The id, the type and the name stand in a call's first piece only."""
    function: dict[str, Any] = {"arguments": piece.arguments}
    if piece.id is None:
        return {"index": piece.index, "function": function}
    return {"index": piece.index, "id": piece.id, "type": "function", "function": {"name": piece.name, **function}}


async def _embed(provider: ModelProvider, attempt: Attempt, asked: Asked, *, drop: bool) -> None:
    _refuse_unknown(asked, _EMBED, drop=drop)
    packed = asked.value("encoding_format")
    if packed not in (None, "float", "base64"):
        raise StepFailure("bad_request", "`encoding_format` must be float or base64.", where="encoding_format")
    given = asked.value("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise StepFailure("bad_request", "`input` must be a text or a list of texts.", where="input")
    answer: EmbedAnswer = await provider.embed(attempt.live.deployment, texts)
    vectors = [_packed(vector) for vector in answer.vectors] if packed == "base64" else answer.vectors
    rows = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
    _whole(attempt, {"object": "list", "data": rows, "model": asked.model, "usage": _usage(answer.usage)})


def _packed(vector: Sequence[float]) -> str:
    """As OpenAI packs numbers: little-endian floats of four bytes, in base64."""
    return b64encode(pack(f"<{len(vector)}f", *vector)).decode()


async def _rerank(provider: ModelProvider, attempt: Attempt, asked: Asked, *, drop: bool) -> None:
    _refuse_unknown(asked, _RERANK, drop=drop)
    documents = asked.value("documents")
    if not isinstance(documents, list):
        raise StepFailure("bad_request", "`documents` must be a list of texts.", where="documents")
    texts = [str(one.get("text", "")) if isinstance(one, dict) else str(one) for one in documents]
    keep = asked.value("top_n")
    if keep is not None and (not isinstance(keep, int) or isinstance(keep, bool) or keep < 1):
        raise StepFailure("bad_request", "`top_n` must be a whole number above 0.", where="top_n")
    answer: RerankAnswer = await provider.rerank(attempt.live.deployment, str(asked.value("query")), texts, keep)
    rows = [{"index": i, "relevance_score": s} for i, s in zip(answer.order, answer.scores, strict=True)]
    _whole(attempt, {"model": asked.model, "results": rows, "usage": _usage(answer.usage)})


def _refuse_unknown(asked: Asked, read: Set[str], *, drop: bool) -> None:
    unknown = sorted(asked.fields.keys() - read)
    if unknown and not drop:
        raise StepFailure(
            "bad_request",
            f"`{unknown[0]}` cannot be passed on to this model's provider.",
            where=unknown[0],
            advice="Leave it out, or set `drop_unsupported` in the model's policy.",
        )


def chat_request(asked: Asked, *, drop: bool = False) -> ChatRequest:
    """Raises StepFailure (`bad_request`) that names a field which cannot be passed on."""
    _refuse_unknown(asked, _READ if asked.value("n") != 1 else _READ | {"n"}, drop=drop)
    stop = asked.value("stop")
    wanted = asked.value("response_format")
    wanted = wanted if isinstance(wanted, dict) else {}
    schema = (wanted.get("json_schema") or {}).get("schema")
    fields: dict[str, Any] = {name: asked.value(name) for name in _CHAT if name in asked.fields}
    fields |= {"messages": asked.value("messages"), "max_tokens": asked.max_tokens, "schema": schema}
    fields |= {"json": wanted.get("type") == "json_object", "drop_unsupported": drop}
    fields["stop"] = [stop] if isinstance(stop, str) else stop
    try:
        return msgspec.convert({k: v for k, v in fields.items() if v is not None}, ChatRequest)
    except msgspec.ValidationError as wrong:
        raise StepFailure("bad_request", f"{wrong}.", where="body") from None


def _whole(attempt: Attempt, answer: dict[str, Any]) -> None:
    attempt.head(_JSON)
    attempt.data(_ENCODE(answer))
    attempt.done()


def _completion(model: str, answer: ChatAnswer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = answer.tool_calls
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": answer.finish}
    if answer.logprobs:
        choice["logprobs"] = {"content": answer.logprobs}
    return {**_frame(model, "chat.completion"), "choices": [choice], "usage": _usage(answer.usage)}


def _chunk(model: str, delta: dict[str, Any], finish: str | None, logprobs: Sequence[Any] = ()) -> bytes:
    choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": finish}
    if logprobs:
        choice["logprobs"] = {"content": list(logprobs)}
    return b"data: %s\n\n" % _ENCODE({**_frame(model), "choices": [choice]})


def _frame(model: str, kind: str = "chat.completion.chunk") -> dict[str, Any]:
    return {"id": "chatcmpl-interplay", "object": kind, "created": 0, "model": model}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }

"""GGUF chat models through llama.cpp, in this process. Loading and generating block: call from a thread."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from interplay.core.errors import InputTooLarge, InvalidInput, Unavailable

CONTEXT: Final = 2048  # tokens of one conversation
PARALLEL: Final = 2
_TAKEN: Final = frozenset(
    {
        *("messages", "temperature", "top_p", "top_k", "min_p", "max_tokens", "max_completion_tokens", "seed", "stop"),
        *("logprobs", "top_logprobs", "response_format", "frequency_penalty", "presence_penalty", "stream"),
    }
)


class GgufChat:
    """One loaded model."""

    def __init__(self, path: Path, model_id: str) -> None:
        from xllamacpp import CommonParams, Server

        params = CommonParams()
        params.model.path = str(path)
        params.n_ctx = CONTEXT * PARALLEL
        params.n_parallel = PARALLEL
        params.verbosity = -1
        params.warmup = False
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, os.cpu_count() or 1)
        self._model_id = model_id
        self._server = Server(params)

    def chat(self, body: dict[str, Any], on_chunk: Callable[[dict[str, Any]], bool] | None) -> dict[str, Any]:
        """`on_chunk` gives True to stop. Raises InvalidInput, InputTooLarge, Unavailable."""
        request = {name: value for name, value in body.items() if name in _TAKEN and value is not None}
        if "max_completion_tokens" in request:
            request["max_tokens"] = request.pop("max_completion_tokens")
        if request.get("logprobs") and "top_logprobs" not in request:
            request["top_logprobs"] = 1
        if on_chunk is None:
            request.pop("stream", None)
            request.pop("stream_options", None)
            return self._named(self._checked(self._server.handle_chat_completions(request)))
        failure: list[dict[str, Any]] = []

        def take(chunk: Any) -> bool:
            if isinstance(chunk, dict) and "error" in chunk:
                failure.append(chunk)
                return True
            return on_chunk(self._named(chunk))

        request |= {"stream": True, "stream_options": {"include_usage": True}}
        result = self._server.handle_chat_completions(request, take)
        for answer in (*failure, result):
            if isinstance(answer, dict):
                self._checked(answer)
        return {}

    def _named(self, answer: dict[str, Any]) -> dict[str, Any]:
        answer["model"] = self._model_id
        answer.pop("timings", None)
        return answer

    def _checked(self, answer: dict[str, Any]) -> dict[str, Any]:
        error = answer.get("error")
        if not isinstance(error, dict):
            return answer
        message = str(error.get("message", "the request was refused"))
        if error.get("type") == "exceed_context_size_error":
            raise InputTooLarge(
                f"This model's context length is {CONTEXT:,} tokens: {message}.", where="context_length_exceeded"
            )
        if int(error.get("code", 500)) < 500:
            raise InvalidInput(message)
        raise Unavailable(message)

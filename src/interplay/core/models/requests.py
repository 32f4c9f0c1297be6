"""What flows ask of models, and what comes back: plain data, the same for every provider."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from interplay.core.models.usage import Usage

Task = Literal["chat", "embed", "rerank", "classify", "predict"]


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Messages in OpenAI's shape. `schema`: JSON Schema that the answer must fit."""

    messages: list[dict[str, Any]]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: list[str] | None = None
    schema: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    logprobs: bool = False


class ChatAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`confidence`: mean token probability, where the upstream gives logprobs. `finish` in OpenAI's words."""

    text: str
    json: Any = None
    tool_calls: list[dict[str, Any]] = []
    finish: str = "stop"
    usage: Usage = Usage()
    confidence: float | None = None


class EmbedAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    vectors: list[list[float]]
    usage: Usage = Usage()


class RerankAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Indices into the documents given, best first, with their scores."""

    order: list[int]
    scores: list[float]
    usage: Usage = Usage()


class ClassifyAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`scores` by label, adding up to 1; `confidence` is the winner's."""

    label: str
    scores: dict[str, float]
    confidence: float
    usage: Usage = Usage()

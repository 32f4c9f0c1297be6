"""What flows ask of models, and what comes back: plain data, the same for every provider."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from interplay.core.models.usage import Usage

Task = Literal["chat", "embed", "rerank", "classify", "predict"]


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Messages in OpenAI's shape. `schema`: JSON Schema that the answer must fit; `json`: any JSON will do.

    A provider refuses what it has no word for (`bad_request`, naming the field), unless `drop_unsupported`.
    """

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
    top_logprobs: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    json: bool = False
    drop_unsupported: bool = False


class ToolPiece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of one tool call. `id` and `name` come with its first; `arguments` add up to its JSON."""

    index: int
    id: str | None = None
    name: str = ""
    arguments: str = ""


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream brought at once. `logprobs`: OpenAI's entries, one a token."""

    text: str = ""
    tool_calls: tuple[ToolPiece, ...] = ()
    reasoning: str = ""
    logprobs: tuple[dict[str, Any], ...] = ()


class ChatAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """`confidence`: mean token probability, where the upstream gives logprobs. `finish` in OpenAI's words.

    `reasoning`: what the model says that it thought, where it says so. `logprobs`: OpenAI's entries, one a token.
    """

    text: str
    json: Any = None
    tool_calls: list[dict[str, Any]] = []
    finish: str = "stop"
    usage: Usage = Usage()
    confidence: float | None = None
    reasoning: str = ""
    logprobs: list[dict[str, Any]] = []


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


class ClassifyAnswers(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of several texts, in their order."""

    answers: list[ClassifyAnswer]
    usage: Usage = Usage()


class PredictAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Each output by its name, as nested lists."""

    outputs: dict[str, Any]
    usage: Usage = Usage()

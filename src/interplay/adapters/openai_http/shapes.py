"""Requests and answers in OpenAI's shapes."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema
import msgspec

from interplay.core.failures import StepFailure
from interplay.core.models.pricing import cost, raw_usage
from interplay.core.models.registry import Deployment, Price
from interplay.core.models.requests import ChatAnswer, ChatRequest
from interplay.core.models.usage import Usage
from interplay.core.models.wire import text_of

_PASSED = (
    "temperature", "top_p", "max_tokens", "seed", "stop", "tools", "tool_choice", "top_logprobs", "presence_penalty",
    "frequency_penalty", "parallel_tool_calls", "reasoning_effort", "user",
)  # fmt: skip


def chat_body(deployment: Deployment, request: ChatRequest, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {**deployment.options, "model": deployment.model, "messages": request.messages}
    body |= {name: value for name in _PASSED if (value := getattr(request, name)) is not None}
    if request.schema is not None:
        wanted = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif request.json:
        body["response_format"] = {"type": "json_object"}
    if request.logprobs:
        body["logprobs"] = True
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def usage_of(raw: Any, price: Price | None) -> Usage:
    """Counts as the upstream gives them; money only where a price is known."""
    usage = raw_usage(raw)
    return msgspec.structs.replace(usage, usd=cost(usage, price)) if isinstance(raw, dict) and raw else usage


def chat_answer(
    message: dict[str, Any], finish: str, usage: Usage, logprobs: list[dict[str, Any]], schema: Any
) -> ChatAnswer:
    """The whole answer, checked against its schema. Raises StepFailure (`invalid_output`, `content_filtered`)."""
    text, thoughts = text_of(message.get("content"))
    if finish == "content_filter":
        raise StepFailure("content_filtered", "The model's answer was filtered.", usage=usage)
    numbers = [float(entry["logprob"]) for entry in logprobs]
    confidence = math.exp(math.fsum(numbers) / len(numbers)) if numbers else None
    try:
        data = checked_json(text, schema, finish) if schema is not None and not message.get("tool_calls") else None
    except StepFailure as unfit:
        unfit.usage = usage
        raise
    thought = thoughts or message.get("reasoning_content") or message.get("reasoning") or ""
    thought = thought if isinstance(thought, str) else ""
    return ChatAnswer(text, data, message.get("tool_calls") or [], finish, usage, confidence, thought, logprobs)


def checked_json(text: str, schema: Any, finish: str) -> Any:
    """The JSON of an answer. Raises StepFailure (`invalid_output`, `bad_request`)."""
    try:
        data = json.loads(text)
    except ValueError:
        reason = "it was cut off at its longest" if finish == "length" else "it is no JSON"
        raise StepFailure("invalid_output", f"The answer does not fit its schema: {reason}: {text[:200]!r}.") from None
    try:
        jsonschema.validate(data, schema)
    except jsonschema.ValidationError as wrong:
        path = "/".join(str(part) for part in wrong.absolute_path) or "the answer"
        raise StepFailure(
            "invalid_output", f"The answer does not fit its schema: {path}: {wrong.message[:300]}."
        ) from None
    except jsonschema.SchemaError as wrong:
        raise StepFailure("bad_request", f"The step's schema is no JSON Schema: {wrong.message[:300]}.") from None
    return data


def token_entries(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """OpenAI's log probabilities, one entry a token."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [token for token in content if isinstance(token, dict) and isinstance(token.get("logprob"), int | float)]

"""Requests and answers in OpenAI's shapes."""

from __future__ import annotations

import json
import math
from typing import Any

import jsonschema

from interplay.core.failures import StepFailure
from interplay.core.models.registry import Deployment, Price
from interplay.core.models.requests import ChatAnswer, ChatRequest
from interplay.core.models.usage import Usage

_PASSED = ("temperature", "top_p", "max_tokens", "seed", "stop", "tools", "tool_choice")


def chat_body(deployment: Deployment, request: ChatRequest, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {**deployment.options, "model": deployment.model, "messages": request.messages}
    body |= {name: value for name in _PASSED if (value := getattr(request, name)) is not None}
    if request.schema is not None:
        wanted = {"name": "answer", "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    if request.logprobs:
        body["logprobs"] = True
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def usage_of(raw: Any, price: Price | None) -> Usage:
    """Counts as the upstream gives them; money only where a price is known."""
    raw = raw if isinstance(raw, dict) else {}
    taken, given = int(raw.get("prompt_tokens") or 0), int(raw.get("completion_tokens") or 0)
    details = raw.get("prompt_tokens_details")
    cached = int(details.get("cached_tokens") or 0) if isinstance(details, dict) else 0
    usd = None
    if price is not None and raw:
        fresh = taken - cached
        rate = price.cached if price.cached is not None else price.input
        usd = (fresh * price.input + cached * rate + given * price.output) / 1e6
    return Usage(taken, given, cached, 1, usd)


def chat_answer(message: dict[str, Any], finish: str, usage: Usage, logprobs: list[float], schema: Any) -> ChatAnswer:
    """The whole answer, checked against its schema. Raises StepFailure (`invalid_output`, `content_filtered`)."""
    text = message.get("content") or ""
    if finish == "content_filter":
        raise StepFailure("content_filtered", "The model's answer was filtered.")
    confidence = math.exp(math.fsum(logprobs) / len(logprobs)) if logprobs else None
    data = _checked(text, schema, finish) if schema is not None and not message.get("tool_calls") else None
    return ChatAnswer(text, data, message.get("tool_calls") or [], finish, usage, confidence)


def _checked(text: str, schema: Any, finish: str) -> Any:
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


def token_logprobs(choice: dict[str, Any]) -> list[float]:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return []
    return [float(token["logprob"]) for token in content if isinstance(token, dict) and "logprob" in token]

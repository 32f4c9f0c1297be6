"""What the providers answer, in the shape of each: whole answers, and the pieces of streams.

An act says what: `text`, `tool_calls`, `finish` (in OpenAI's words), `cached`, `reasoning` (tokens), `thought`.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

WORDS = ["one", "two", "three", "four", "five"]
TAKEN, GIVEN = 7, 5
Act = dict[str, Any]


def words_of(act: Act) -> list[str]:
    if "tool_calls" in act:
        return []
    words = str(act.get("text", " ".join(WORDS))).split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(words)]


def calls_of(act: Act) -> list[tuple[str, str, str]]:
    return [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in act.get("tool_calls", ())]


def finish_of(act: Act, words: dict[str, str]) -> str:
    return words[act.get("finish", "tool_calls" if "tool_calls" in act else "stop")]


def sse(data: Any, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


# ------------------------------------------------------------------ Anthropic

_ANTHROPIC = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def _anthropic_usage(act: Act) -> dict[str, Any]:
    cached = act.get("cached", 0)
    return {"input_tokens": TAKEN - cached, "cache_read_input_tokens": cached, "output_tokens": GIVEN}


def anthropic_whole(act: Act) -> Any:
    content: list[dict[str, Any]] = []
    if "thought" in act:
        content.append({"type": "thinking", "thinking": act["thought"], "signature": "s"})
    if words := words_of(act):
        content.append({"type": "text", "text": "".join(words)})
    for call_id, name, arguments in calls_of(act):
        content.append({"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)})
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content,
        "stop_reason": finish_of(act, _ANTHROPIC), "stop_sequence": None, "usage": _anthropic_usage(act),
    }  # fmt: skip


def anthropic_events(act: Act) -> Iterator[bytes]:
    usage = {**_anthropic_usage(act), "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    yield _anthropic("message_start", message={**message, "stop_reason": None, "stop_sequence": None})
    yield _anthropic("ping")
    place = 0
    if "thought" in act:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield _anthropic("content_block_start", index=place, content_block=block)
        delta = {"type": "thinking_delta", "thinking": act["thought"]}
        yield _anthropic("content_block_delta", index=place, delta=delta)
        yield _anthropic("content_block_stop", index=place)
        place += 1
    if words := words_of(act):
        yield _anthropic("content_block_start", index=place, content_block={"type": "text", "text": ""})
        for word in words:
            yield _anthropic("content_block_delta", index=place, delta={"type": "text_delta", "text": word})
        yield _anthropic("content_block_stop", index=place)
        place += 1
    for number, (call_id, name, arguments) in enumerate(calls_of(act), place):
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        yield _anthropic("content_block_start", index=number, content_block=block)
        for piece in (arguments[:4], arguments[4:]):
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield _anthropic("content_block_delta", index=number, delta=delta)
        yield _anthropic("content_block_stop", index=number)
    end = {"stop_reason": finish_of(act, _ANTHROPIC), "stop_sequence": None}
    yield _anthropic("message_delta", delta=end, usage=_anthropic_usage(act))
    yield _anthropic("message_stop")


def _anthropic(event: str, **fields: Any) -> bytes:
    return sse({"type": event, **fields}, event)


# ------------------------------------------------------------------ OpenAI: Azure, Groq, Mistral

_OPENAI = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


def _openai_usage(act: Act) -> dict[str, Any]:
    usage: dict[str, Any] = {"prompt_tokens": TAKEN, "completion_tokens": GIVEN, "total_tokens": TAKEN + GIVEN}
    if "cached" in act:
        usage["prompt_tokens_details"] = {"cached_tokens": act["cached"]}
    if "reasoning" in act:
        usage["completion_tokens_details"] = {"reasoning_tokens": act["reasoning"]}
    return usage


def _openai_logprobs(act: Act, words: list[str]) -> dict[str, Any]:
    if "logprob" not in act:
        return {}
    entries = [{"token": word, "logprob": act["logprob"], "bytes": None, "top_logprobs": []} for word in words]
    return {"logprobs": {"content": entries}}


def openai_whole(act: Act) -> Any:
    words = words_of(act)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(words)}
    if "tool_calls" in act:
        message |= {"content": "", "tool_calls": act["tool_calls"]}
    choice = {"index": 0, "message": message, "finish_reason": finish_of(act, _OPENAI), **_openai_logprobs(act, words)}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": _openai_usage(act)}


def openai_events(act: Act) -> Iterator[bytes]:
    yield _openai({"role": "assistant", "content": ""})
    for word in words_of(act):
        yield _openai({"content": word}, **_openai_logprobs(act, [word]))
    for number, (call_id, name, arguments) in enumerate(calls_of(act)):
        named = {"index": number, "id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        yield _openai({"tool_calls": [named]})
        for piece in (arguments[:4], arguments[4:]):
            yield _openai({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    # All three count in the last chunk that has a choice or after it; Groq in a field of its own too.
    usage = _openai_usage(act)
    yield _openai({}, finish_of(act, _OPENAI), {"x_groq": {"id": "r", "usage": usage}, **act.get("_last", {})})
    if not act.get("_last"):
        yield sse(
            {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
        )
    yield b"data: [DONE]\n\n"


def _openai(delta: Any, finish: str | None = None, beside: Any = None, **choice: Any) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return sse({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **choice}], **(beside or {})})


def mistral_events(act: Act) -> Iterator[bytes]:
    yield from openai_events({**act, "_last": {"usage": _openai_usage(act)}})


# ------------------------------------------------------------------ Google

_GOOGLE = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


def _google(parts: list[Any], act: Act, finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if finish:
        candidate["finishReason"] = finish
    thought = act.get("reasoning", 0)
    usage = {"promptTokenCount": TAKEN, "candidatesTokenCount": GIVEN - thought, "totalTokenCount": TAKEN + GIVEN}
    if "cached" in act:
        usage["cachedContentTokenCount"] = act["cached"]
    if thought:
        usage["thoughtsTokenCount"] = thought
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}


def _google_parts(act: Act) -> list[Any]:
    thoughts: list[Any] = [{"text": act["thought"], "thought": True}] if "thought" in act else []
    texts = [{"text": word} for word in words_of(act)]
    calls = [{"functionCall": {"id": i, "name": n, "args": json.loads(a)}} for i, n, a in calls_of(act)]
    return [*thoughts, *texts, *calls]


def google_whole(act: Act) -> Any:
    return _google(_google_parts(act), act, finish_of(act, _GOOGLE))


def google_events(act: Act) -> Iterator[bytes]:
    parts = _google_parts(act)
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        yield sse(_google([part], act, finish_of(act, _GOOGLE) if last else None))


# ------------------------------------------------------------------ Cohere

_COHERE = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}


def _cohere_usage() -> dict[str, Any]:
    counts = {"input_tokens": TAKEN, "output_tokens": GIVEN}
    return {"billed_units": counts, "tokens": counts}


def cohere_whole(act: Act) -> Any:
    message: dict[str, Any] = {"role": "assistant"}
    if "tool_calls" in act:
        message |= {"tool_plan": "I look.", "tool_calls": act["tool_calls"]}
    else:
        message["content"] = [{"type": "text", "text": "".join(words_of(act))}]
    return {"id": "r", "message": message, "finish_reason": finish_of(act, _COHERE), "usage": _cohere_usage()}


def cohere_events(act: Act) -> Iterator[bytes]:
    yield _cohere("message-start", id="r", delta={"message": {"role": "assistant"}})
    if words := words_of(act):
        yield _cohere("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}})
        for word in words:
            yield _cohere("content-delta", index=0, delta={"message": {"content": {"text": word}}})
        yield _cohere("content-end", index=0)
    for number, (call_id, name, arguments) in enumerate(calls_of(act)):
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        yield _cohere("tool-call-start", index=number, delta={"message": {"tool_calls": call}})
        for piece in (arguments[:4], arguments[4:]):
            call = {"function": {"arguments": piece}}
            yield _cohere("tool-call-delta", index=number, delta={"message": {"tool_calls": call}})
        yield _cohere("tool-call-end", index=number)
    end = {"finish_reason": finish_of(act, _COHERE), "usage": _cohere_usage()}
    yield _cohere("message-end", id="r", delta=end)


def _cohere(event: str, **fields: Any) -> bytes:
    return sse({"type": event, **fields}, event)


# ------------------------------------------------------------------ Ollama

_OLLAMA = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "stop"}


def _ollama(message: Any, act: Act, done: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": done}
    line["message"] = {"role": "assistant", "content": "", **message}
    if done:
        counts = {"prompt_eval_count": TAKEN, "eval_count": GIVEN, "total_duration": 1, "load_duration": 1}
        line |= {"done_reason": finish_of(act, _OLLAMA), **counts}
    return line


def _ollama_calls(act: Act) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": json.loads(arguments)}} for _, name, arguments in calls_of(act)]
    return {"tool_calls": calls} if calls else {}


def ollama_whole(act: Act) -> Any:
    return _ollama({"content": "".join(words_of(act)), **_ollama_calls(act)}, act, True)


def ollama_events(act: Act) -> Iterator[bytes]:
    for word in words_of(act):
        yield json.dumps(_ollama({"content": word}, act, False)).encode() + b"\n"
    if calls := _ollama_calls(act):
        yield json.dumps(_ollama(calls, act, False)).encode() + b"\n"
    yield json.dumps(_ollama({}, act, True)).encode() + b"\n"


# ------------------------------------------------------------------ Bedrock

_BEDROCK = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}


def _bedrock_usage(act: Act) -> dict[str, Any]:
    usage = {"inputTokens": TAKEN, "outputTokens": GIVEN, "totalTokens": TAKEN + GIVEN}
    if "cached" in act:  # AWS counts them apart
        usage |= {"inputTokens": TAKEN - act["cached"], "cacheReadInputTokens": act["cached"]}
    return usage


def bedrock_whole(act: Act) -> Any:
    content: list[dict[str, Any]] = []
    if "thought" in act:
        content.append({"reasoningContent": {"reasoningText": {"text": act["thought"], "signature": "s"}}})
    if words := words_of(act):
        content.append({"text": "".join(words)})
    for call_id, name, arguments in calls_of(act):
        content.append({"toolUse": {"toolUseId": call_id, "name": name, "input": json.loads(arguments)}})
    message = {"role": "assistant", "content": content}
    ended = {"stopReason": finish_of(act, _BEDROCK), "usage": _bedrock_usage(act), "metrics": {"latencyMs": 1}}
    return {"output": {"message": message}, **ended}


def bedrock_events(act: Act) -> Iterator[bytes]:
    yield aws_event("messageStart", {"role": "assistant"})
    place = 0
    if "thought" in act:
        delta = {"reasoningContent": {"text": act["thought"]}}
        yield aws_event("contentBlockDelta", {"contentBlockIndex": place, "delta": delta})
        yield aws_event("contentBlockStop", {"contentBlockIndex": place})
        place += 1
    if words := words_of(act):
        for word in words:
            yield aws_event("contentBlockDelta", {"contentBlockIndex": place, "delta": {"text": word}})
        yield aws_event("contentBlockStop", {"contentBlockIndex": place})
        place += 1
    for number, (call_id, name, arguments) in enumerate(calls_of(act), place):
        start = {"toolUse": {"toolUseId": call_id, "name": name}}
        yield aws_event("contentBlockStart", {"contentBlockIndex": number, "start": start})
        for piece in (arguments[:4], arguments[4:]):
            delta = {"toolUse": {"input": piece}}
            yield aws_event("contentBlockDelta", {"contentBlockIndex": number, "delta": delta})
        yield aws_event("contentBlockStop", {"contentBlockIndex": number})
    yield aws_event("messageStop", {"stopReason": finish_of(act, _BEDROCK)})
    yield aws_event("metadata", {"usage": _bedrock_usage(act), "metrics": {"latencyMs": 1}})


def aws_event(name: str, payload: Any, kind: str = "event") -> bytes:
    """One message of AWS's event stream: lengths, headers, payload, each with its checksum."""
    tag = ":event-type" if kind == "event" else ":exception-type"
    headers = b""
    for header, value in ((":message-type", kind), (tag, name), (":content-type", "application/json")):
        headers += bytes([len(header)]) + header.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    body = json.dumps(payload).encode()
    head = struct.pack(">II", 12 + len(headers) + len(body) + 4, len(headers))
    message = head + struct.pack(">I", zlib.crc32(head)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))

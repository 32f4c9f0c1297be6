"""What each leaf kind does: one function a kind, and one line in the table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from interplay.core.failures import StepFailure
from interplay.core.flows.values import SECRET, SecretText
from interplay.core.models.requests import ChatRequest, ClassifyAnswer
from interplay.core.models.usage import Usage
from interplay.core.runs.retrying import LONGEST_WISH
from interplay.ports.http_caller import HttpCaller, HttpRequest
from interplay.ports.runnables import Runnables
from interplay.ports.secret_store import SecretStore
from interplay.ports.topic_writer import TopicWriter
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.call_tool import CallTool
from interplay.use_cases.emit_value import emit_to_topic
from interplay.use_cases.hide_secrets import Hidden
from interplay.use_cases.step_call import StepCall, StepResult
from interplay.use_cases.step_model_calls import (
    chat_call,
    classify_call,
    classify_each_call,
    embed_call,
    predict_call,
    rerank_call,
)

_MODEL_KINDS: Final = frozenset({"chat", "embed", "rerank", "classify", "predict"})
_STATUS_CODES: Final = {401: "unauthorized", 403: "unauthorized", 404: "not_found", 408: "timeout", 429: "rate_limited"}
_PASSED: Final = ("temperature", "top_p", "max_tokens", "seed", "schema", "tools", "tool_choice")


class ExecuteStep:
    """Implements `step_call.StepExecutor`."""

    def __init__(
        self,
        calls: CallModel,
        http: HttpCaller,
        topics: TopicWriter,
        secrets: SecretStore,
        tools: CallTool,
        runnables: Runnables,
    ) -> None:
        self._calls = calls
        self._http = http
        self._topics = topics
        self._secrets = secrets
        self._tools = tools
        self._runnables = runnables
        self._kinds: dict[str, Callable[[StepCall], Awaitable[StepResult]]] = {
            "chat": self._chat,
            "embed": self._embed,
            "rerank": self._rerank,
            "classify": self._classify,
            "classify_each": self._classify_each,
            "predict": self._predict,
            "http": self._http_request,
            "emit": self._emit,
            "tool": self._tool,
            "toolbox": self._toolbox,
            "runnable": self._runnable,
        }

    async def execute(self, call: StepCall) -> StepResult:
        return await self._kinds[call.kind](call)

    async def cache_digest(self, call: StepCall) -> str:
        parts: list[Any] = [call.kind, dict(call.args)]
        if call.kind in _MODEL_KINDS:
            parts.append(await self._calls.digest_parts(call.project_id, str(call.args["model"])))
        return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()

    # ------------------------------------------------------------------ models

    async def _chat(self, call: StepCall) -> StepResult:
        called = await self._calls.run(chat_call(call, str(call.args["model"]), _chat_request(call)))
        answer = called.answer
        output = {
            "text": answer.text,
            "json": answer.json,
            "tool_calls": answer.tool_calls,
            "usage": _shown(answer.usage),
            "confidence": answer.confidence,
        }
        return StepResult(output, answer.usage, {**called.detail(), "finish": answer.finish})

    async def _embed(self, call: StepCall) -> StepResult:
        texts = [str(text) for text in _listed(call, "texts")]
        called = await self._calls.run(embed_call(call, str(call.args["model"]), texts))
        output = {"vectors": called.answer.vectors, "usage": _shown(called.answer.usage)}
        return StepResult(output, called.answer.usage, called.detail())

    async def _rerank(self, call: StepCall) -> StepResult:
        documents, keep = _listed(call, "documents"), call.args.get("keep")
        texts = [_document_text(document, place) for place, document in enumerate(documents)]
        if not texts:
            return StepResult({"documents": [], "ids": [], "scores": []})
        called = await self._calls.run(
            rerank_call(call, str(call.args["model"]), (str(call.args["query"]), texts, keep))
        )
        answer = called.answer
        order = answer.order[:keep] if keep is not None else answer.order
        output = {"documents": [documents[i] for i in order], "ids": order, "scores": answer.scores[: len(order)]}
        return StepResult(output, answer.usage, called.detail())

    async def _classify(self, call: StepCall) -> StepResult:
        text, labels = str(call.args["text"]), _listed(call, "labels") or None
        alias = str(call.args["model"])
        model = await self._calls.model(call.project_id, alias)
        if model.task == "chat":
            answer, detail = await self._classify_by_chat(call, alias, text, labels)
        else:
            called = await self._calls.run(classify_call(call, alias, text, labels))
            answer, detail = called.answer, called.detail()
        output = {"label": answer.label, "scores": answer.scores, "confidence": answer.confidence}
        return StepResult(output, answer.usage, detail)

    async def _classify_by_chat(self, call: StepCall, alias: str, text: str, labels: Any) -> tuple[ClassifyAnswer, Any]:
        """Any chat model, its answer constrained to one of the labels."""
        if not labels:
            raise StepFailure(
                "bad_request", f"{alias} is a chat model, so classify needs `labels`.", where=call.step_key
            )
        schema = {
            "type": "object",
            "properties": {"label": {"type": "string", "enum": list(labels)}},
            "required": ["label"],
            "additionalProperties": False,
        }
        prompt = (
            f"Classify the text as one of: {', '.join(labels)}.\n\nText: {text}\n\nAnswer as JSON with the key label."
        )
        request = ChatRequest(
            [{"role": "user", "content": prompt}],
            temperature=0.0,
            max_tokens=64,
            schema=schema,
            logprobs=True,
            drop_unsupported=True,
        )
        called = await self._calls.run(chat_call(replace(call, on_delta=None), alias, request))
        answer = called.answer
        label = str(answer.json["label"])
        confidence = answer.confidence if answer.confidence is not None else 0.0
        return ClassifyAnswer(label, {label: confidence}, confidence, answer.usage), called.detail()

    async def _classify_each(self, call: StepCall) -> StepResult:
        """Many texts with one call; no kind of flows, but of triggers that feed a model."""
        texts, labels = [str(text) for text in _listed(call, "texts")], _listed(call, "labels") or None
        called = await self._calls.run(classify_each_call(call, str(call.args["model"]), texts, labels))
        answers = [
            {"label": one.label, "scores": one.scores, "confidence": one.confidence} for one in called.answer.answers
        ]
        return StepResult({"answers": answers}, called.answer.usage, called.detail())

    async def _predict(self, call: StepCall) -> StepResult:
        inputs = dict(call.args["inputs"])
        called = await self._calls.run(predict_call(call, str(call.args["model"]), inputs))
        return StepResult({"outputs": called.answer.outputs}, called.answer.usage, called.detail())

    # ------------------------------------------------------------------ tools and programs

    async def _tool(self, call: StepCall) -> StepResult:
        name, arguments = str(call.args["name"]), dict(call.args.get("arguments") or {})
        result = await self._tools.run(call.project_id, name, arguments, idempotency_key=call.idempotency_key)
        return StepResult({"result": result}, None, {"tool": name})

    async def _toolbox(self, call: StepCall) -> StepResult:
        """The tools that an agent may call; journaled, so that the agent keeps them for life."""
        return StepResult(await self._tools.toolbox(call.project_id, list(call.args["tools"])))

    async def _runnable(self, call: StepCall) -> StepResult:
        name = str(call.args["name"])
        assert call.run_id is not None, "runnables are steps of flows"
        output = await self._runnables.run(
            name, call.args.get("input"), run_id=call.run_id, step_key=call.step_key, on_delta=call.on_delta
        )
        return StepResult({"output": output}, None, {"runnable": name})

    # ------------------------------------------------------------------ HTTP

    async def _http_request(self, call: StepCall) -> StepResult:
        headers, hidden = await self._headers(call)
        body = _encoded(call.args.get("body"), headers)
        method = str(call.args.get("method") or "GET")
        if method not in ("GET", "HEAD"):
            headers.setdefault("Idempotency-Key", call.idempotency_key)
        answer = hidden.answer(await self._http.send(HttpRequest(method, str(call.args["url"]), headers, body)))
        if answer.status >= 400:
            raise _refused(call, answer.status, answer.headers, answer.body)
        output = {"status": answer.status, "headers": answer.headers, "body": _decoded(answer.headers, answer.body)}
        return StepResult(output, None, {"status": answer.status})

    async def _emit(self, call: StepCall) -> StepResult:
        if "topic" in call.args:
            return await emit_to_topic(self._topics, call)
        headers, hidden = await self._headers(call)
        headers |= {"Content-Type": "application/json", "Idempotency-Key": call.idempotency_key}
        value = {
            "key": call.args.get("key"),
            "value": call.args.get("value"),
            "run": str(call.run_id),
            "step": call.step_key,
        }
        request = HttpRequest("POST", str(call.args["url"]), headers, json.dumps(value).encode())
        answer = hidden.answer(await self._http.send(request))
        if answer.status >= 400:
            raise _refused(call, answer.status, answer.headers, answer.body)
        return StepResult({"status": answer.status}, None, {"status": answer.status})

    async def _headers(self, call: StepCall) -> tuple[dict[str, str], Hidden]:
        """Header values with the flow's own secrets put in at the last moment; they are in no event and no error."""
        given = call.args.get("headers") or {}
        if not isinstance(given, dict):
            raise _not_that(call, "headers", "an object", given)
        made: dict[str, str] = {}
        revealed: list[str] = []
        for name, value in given.items():
            if isinstance(value, SecretText):
                before, _, secret = value.text.partition(SECRET)
                revealed.append(await self._secrets.reveal(call.project_id, secret.strip()))
                made[str(name)] = before + revealed[-1]
            else:
                made[str(name)] = str(value)
        return made, Hidden(tuple(revealed))


def _chat_request(call: StepCall) -> ChatRequest:
    args = call.args
    messages = list(_listed(call, "messages"))
    if args.get("system"):
        messages.insert(0, {"role": "system", "content": args["system"]})
    if "prompt" in args:
        content: Any = args["prompt"]
        if args.get("images"):
            pictures = [{"type": "image_url", "image_url": {"url": url}} for url in _listed(call, "images")]
            content = [{"type": "text", "text": content}, *pictures]
        messages.append({"role": "user", "content": content})
    passed = {name: args[name] for name in _PASSED if args.get(name) is not None}
    if not passed.get("tools"):
        passed.pop("tools", None)  # an empty list is an error to some upstreams
        passed.pop("tool_choice", None)
    stop = args.get("stop")
    return ChatRequest(
        messages, stop=[stop] if isinstance(stop, str) else stop, logprobs=bool(args.get("logprobs", False)), **passed
    )


def _listed(call: StepCall, name: str) -> list[Any]:
    given = call.args.get(name)
    if given is not None and not isinstance(given, list):
        raise _not_that(call, name, "a list", given)
    return given or []


def _not_that(call: StepCall, name: str, wanted: str, given: Any) -> StepFailure:
    shown = json.dumps(given)[:60]
    return StepFailure("bad_request", f"`{name}` takes {wanted}, and was given {shown}.", where=call.step_key)


def _document_text(document: Any, place: int) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, dict) and isinstance(document.get("text"), str):
        return str(document["text"])
    raise StepFailure("bad_request", f"Document {place} is neither text nor an object with `text`.")


def _encoded(body: Any, headers: dict[str, str]) -> bytes | None:
    if body is None:
        return None
    if isinstance(body, str):
        return body.encode()
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return json.dumps(body).encode()


def _decoded(headers: dict[str, str], body: bytes) -> Any:
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if "json" in kind and body:
        try:
            return json.loads(body)
        except ValueError:
            pass  # said to be JSON and is not: given as the text that it is
        except RecursionError:
            raise StepFailure("invalid_output", "The answer is JSON that is nested too deep to be read.") from None
    return body.decode("utf-8", "replace")


def _refused(call: StepCall, status: int, headers: dict[str, str], body: bytes) -> StepFailure:
    code = _STATUS_CODES.get(status, "unavailable" if status >= 500 else "bad_request")
    wish = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    beginning = body[:300].decode("utf-8", "replace").strip()
    detail = f"{call.args['url']} answered {status}" + (f": {beginning}" if beginning else "")
    return StepFailure(code, detail, where=call.step_key, retry_after=_seconds(wish))


def _seconds(wish: str) -> float | None:
    """A `Retry-After` in seconds. Digits of other scripts are digits to Python, and no number in HTTP."""
    return min(float(wish), LONGEST_WISH) if wish.isascii() and wish.isdigit() else None


def _shown(usage: Usage) -> dict[str, Any]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "usd": usage.usd}

"""What each leaf kind does: one function a kind, and one line in the table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from interplay.core.failures import StepFailure
from interplay.core.models.requests import ChatRequest, ClassifyAnswer
from interplay.core.models.usage import Usage
from interplay.ports.http_caller import HttpCaller, HttpRequest
from interplay.ports.secret_store import SecretStore
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.step_call import StepCall, StepResult

_MODEL_KINDS: Final = frozenset({"chat", "embed", "rerank", "classify"})
_SECRET: Final = "secret://"
_STATUS_CODES: Final = {401: "unauthorized", 403: "unauthorized", 404: "not_found", 408: "timeout", 429: "rate_limited"}
_PASSED: Final = ("temperature", "top_p", "max_tokens", "seed", "schema", "tools", "tool_choice")


class ExecuteStep:
    """Implements `step_call.StepExecutor`."""

    def __init__(self, calls: CallModel, http: HttpCaller, secrets: SecretStore) -> None:
        self._calls = calls
        self._http = http
        self._secrets = secrets
        self._kinds: dict[str, Callable[[StepCall], Awaitable[StepResult]]] = {
            "chat": self._chat,
            "embed": self._embed,
            "rerank": self._rerank,
            "classify": self._classify,
            "http": self._http_request,
            "emit": self._emit,
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
        request = _chat_request(call)
        timeout = call.policy.timeout
        answer, deployment = await self._calls.run(
            call.project_id,
            str(call.args["model"]),
            lambda provider, deployment, _: provider.chat(
                deployment,
                request,
                on_delta=call.on_delta,
                idempotency_key=call.idempotency_key,
                first_token=timeout.first_token,
                idle=timeout.idle,
            ),
        )
        output = {
            "text": answer.text,
            "json": answer.json,
            "tool_calls": answer.tool_calls,
            "usage": _shown(answer.usage),
            "confidence": answer.confidence,
        }
        return StepResult(output, answer.usage, {"model": deployment.model, "finish": answer.finish})

    async def _embed(self, call: StepCall) -> StepResult:
        texts = [str(text) for text in call.args["texts"]]
        answer, deployment = await self._calls.run(
            call.project_id, str(call.args["model"]), lambda provider, deployment, _: provider.embed(deployment, texts)
        )
        output = {"vectors": answer.vectors, "usage": _shown(answer.usage)}
        return StepResult(output, answer.usage, {"model": deployment.model})

    async def _rerank(self, call: StepCall) -> StepResult:
        documents, keep = list(call.args["documents"]), call.args.get("keep")
        texts = [_document_text(document, place) for place, document in enumerate(documents)]
        if not texts:
            return StepResult({"documents": [], "ids": [], "scores": []})
        answer, deployment = await self._calls.run(
            call.project_id,
            str(call.args["model"]),
            lambda provider, deployment, _: provider.rerank(deployment, str(call.args["query"]), texts, keep),
        )
        order = answer.order[:keep] if keep is not None else answer.order
        output = {"documents": [documents[i] for i in order], "ids": order, "scores": answer.scores[: len(order)]}
        return StepResult(output, answer.usage, {"model": deployment.model})

    async def _classify(self, call: StepCall) -> StepResult:
        text, labels = str(call.args["text"]), call.args.get("labels")
        alias = str(call.args["model"])
        model = await self._calls.model(call.project_id, alias)
        if model.task == "chat":
            answer, deployment = await self._classify_by_chat(call, alias, text, labels)
        else:
            answer, deployment = await self._calls.run(
                call.project_id, alias, lambda provider, deployment, _: provider.classify(deployment, text, labels)
            )
        output = {"label": answer.label, "scores": answer.scores, "confidence": answer.confidence}
        return StepResult(output, answer.usage, {"model": deployment.model})

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
            [{"role": "user", "content": prompt}], temperature=0.0, max_tokens=64, schema=schema, logprobs=True
        )
        answer, deployment = await self._calls.run(
            call.project_id,
            alias,
            lambda provider, deployment, _: provider.chat(deployment, request, idempotency_key=call.idempotency_key),
        )
        label = str(answer.json["label"])
        confidence = answer.confidence if answer.confidence is not None else 0.0
        return ClassifyAnswer(label, {label: confidence}, confidence, answer.usage), deployment

    # ------------------------------------------------------------------ HTTP

    async def _http_request(self, call: StepCall) -> StepResult:
        headers = await self._headers(call, call.args.get("headers"))
        body = _encoded(call.args.get("body"), headers)
        method = str(call.args.get("method") or "GET")
        if method not in ("GET", "HEAD"):
            headers.setdefault("Idempotency-Key", call.idempotency_key)
        answer = await self._http.send(HttpRequest(method, str(call.args["url"]), headers, body))
        if answer.status >= 400:
            raise _refused(call, answer.status, answer.headers, answer.body)
        output = {"status": answer.status, "headers": answer.headers, "body": _decoded(answer.headers, answer.body)}
        return StepResult(output, None, {"status": answer.status})

    async def _emit(self, call: StepCall) -> StepResult:
        headers = await self._headers(call, call.args.get("headers"))
        headers |= {"Content-Type": "application/json", "Idempotency-Key": call.idempotency_key}
        value = {
            "key": call.args.get("key"),
            "value": call.args.get("value"),
            "run": str(call.run_id),
            "step": call.step_key,
        }
        answer = await self._http.send(HttpRequest("POST", str(call.args["url"]), headers, json.dumps(value).encode()))
        if answer.status >= 400:
            raise _refused(call, answer.status, answer.headers, answer.body)
        return StepResult({"status": answer.status}, None, {"status": answer.status})

    async def _headers(self, call: StepCall, given: Any) -> dict[str, str]:
        """Header values with secrets put in at the last moment; they are in no event and no error."""
        made: dict[str, str] = {}
        for name, value in (given or {}).items():
            text = str(value)
            before, mark, secret = text.partition(_SECRET)
            made[str(name)] = before + await self._secrets.reveal(call.project_id, secret.strip()) if mark else text
        return made


def _chat_request(call: StepCall) -> ChatRequest:
    args = call.args
    messages = list(args.get("messages") or ())
    if args.get("system"):
        messages.insert(0, {"role": "system", "content": args["system"]})
    if "prompt" in args:
        content: Any = args["prompt"]
        if args.get("images"):
            pictures = [{"type": "image_url", "image_url": {"url": url}} for url in args["images"]]
            content = [{"type": "text", "text": content}, *pictures]
        messages.append({"role": "user", "content": content})
    passed = {name: args[name] for name in _PASSED if args.get(name) is not None}
    stop = args.get("stop")
    return ChatRequest(
        messages, stop=[stop] if isinstance(stop, str) else stop, logprobs=bool(args.get("logprobs", False)), **passed
    )


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
    return body.decode("utf-8", "replace")


def _refused(call: StepCall, status: int, headers: dict[str, str], body: bytes) -> StepFailure:
    code = _STATUS_CODES.get(status, "unavailable" if status >= 500 else "bad_request")
    wish = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    beginning = body[:300].decode("utf-8", "replace").strip()
    detail = f"{call.args['url']} answered {status}" + (f": {beginning}" if beginning else "")
    return StepFailure(code, detail, where=call.step_key, retry_after=float(wish) if wish.isdigit() else None)


def _shown(usage: Usage) -> dict[str, Any]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "usd": usage.usd}

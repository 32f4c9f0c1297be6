"""Providers by connection: one HTTP client each, made at first use."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import json
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from interplay.adapters.openai_http.errors import malformed, refused, transport
from interplay.adapters.openai_http.shapes import chat_answer, chat_body, token_entries, usage_of
from interplay.adapters.openai_http.stream import StreamedChat
from interplay.core.errors import InvalidInput
from interplay.core.failures import StepFailure
from interplay.core.models.accepting import reference
from interplay.core.models.registry import Connection, Deployment
from interplay.core.models.requests import (
    ChatAnswer,
    ChatRequest,
    ClassifyAnswer,
    ClassifyAnswers,
    EmbedAnswer,
    PredictAnswer,
    RerankAnswer,
)
from interplay.core.models.sse import EventScanner, EventTooLarge
from interplay.core.models.tensors import Tensor, check, nested, to_tensor
from interplay.ports.model_provider import OnDelta
from interplay.ports.secret_store import SecretStore

T = TypeVar("T")
_CONNECT = 5.0  # seconds
_MOST_CONNECTIONS = 256


class OpenAIProvider:
    """One connection. Raises StepFailure with the code that policies know, and nothing else."""

    def __init__(self, connection: Connection, base_url: str, headers: dict[str, str]) -> None:
        self._who = connection.name
        self._root = base_url.rstrip("/").removesuffix("/v1").removesuffix("/v2")
        self._timeout = httpx.Timeout(connection.timeout, connect=_CONNECT)
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/",
            headers={**connection.headers, **headers},
            limits=httpx.Limits(max_connections=_MOST_CONNECTIONS, keepalive_expiry=15.0),
            trust_env=False,
        )

    def connecting_within(self, seconds: float) -> OpenAIProvider:
        made = copy.copy(self)
        made._timeout = httpx.Timeout(self._timeout.read, connect=seconds)
        return made

    async def close(self) -> None:
        await self._client.aclose()

    def _broke(self, error: httpx.HTTPError, *, begun: bool = False) -> StepFailure:
        return transport(error, self._who, begun=begun, connect=self._timeout.connect)

    async def chat(
        self,
        deployment: Deployment,
        request: ChatRequest,
        *,
        on_delta: OnDelta | None = None,
        idempotency_key: str | None = None,
        first_token: float | None = None,
        idle: float | None = None,
    ) -> ChatAnswer:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        body = chat_body(deployment, request, on_delta is not None)
        if on_delta is not None:
            streamed = StreamedChat(self._who, on_delta)
            await self._stream(body, headers, streamed, first_token, idle)
            usage = usage_of(streamed.usage, deployment.price)
            return chat_answer(streamed.message(), streamed.finish or "", usage, streamed.logprobs, request.schema)
        data = await self._post("chat/completions", body, headers)
        choices = data.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0].get("message"), dict):
            raise malformed(self._who, data)
        choice = choices[0]
        finish = choice.get("finish_reason") or "stop"
        usage = usage_of(data.get("usage"), deployment.price)
        return chat_answer(choice["message"], finish, usage, token_entries(choice), request.schema)

    async def _stream(
        self,
        body: dict[str, Any],
        headers: dict[str, str],
        streamed: StreamedChat,
        first_token: float | None,
        idle: float | None,
    ) -> None:
        scanner, content, begun = EventScanner(), False, False
        began = asyncio.get_running_loop().time()
        try:
            async with contextlib.AsyncExitStack() as stack:
                asked = self._client.stream(
                    "POST", "chat/completions", json=body, headers=headers, timeout=self._timeout
                )
                response = await _within(stack.enter_async_context(asked), first_token, self._who, False)
                if response.status_code >= 400:
                    raise refused(response.status_code, response.headers, await response.aread(), self._who)
                if "text/event-stream" not in response.headers.get("content-type", ""):
                    raise malformed(self._who, await response.aread())
                chunks, begun = response.aiter_bytes(), True
                while not streamed.done:
                    spent = asyncio.get_running_loop().time() - began
                    left = None if first_token is None else max(0.0, first_token - spent)
                    chunk = await _within(anext(chunks, None), idle if content else left, self._who, content)
                    if chunk is None:
                        return
                    for data in scanner.feed(chunk):
                        content = streamed.take(data) or content
        except httpx.HTTPError as broken:
            raise self._broke(broken, begun=begun) from broken
        except EventTooLarge as wrong:
            raise malformed(self._who, wrong) from None

    async def _post(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        try:
            response = await self._client.post(path, json=body, headers=headers, timeout=self._timeout)
        except httpx.HTTPError as broken:
            raise self._broke(broken) from broken
        if response.status_code >= 400:
            raise refused(response.status_code, response.headers, response.content, self._who)
        try:
            data = json.loads(response.content)
        except ValueError:
            raise malformed(self._who, response.text) from None
        if not isinstance(data, dict):
            raise malformed(self._who, response.text)
        return data

    async def embed(self, deployment: Deployment, texts: list[str]) -> EmbedAnswer:
        body = {**deployment.options, "model": deployment.model, "input": texts, "encoding_format": "base64"}
        data = await self._post("embeddings", body)
        rows = data.get("data")
        if not isinstance(rows, list) or len(rows) != len(texts):
            raise malformed(self._who, data)
        vectors = [
            _vector(row.get("embedding"), self._who) for row in sorted(rows, key=lambda row: row.get("index", 0))
        ]
        return EmbedAnswer(vectors, usage_of(data.get("usage"), deployment.price))

    async def rerank(self, deployment: Deployment, query: str, documents: list[str], keep: int | None) -> RerankAnswer:
        body = {**deployment.options, "model": deployment.model, "query": query, "documents": documents}
        if keep is not None:
            body["top_n"] = keep
        data = await self._post("rerank", body)
        try:
            ranked = [(int(row["index"]), float(row["relevance_score"])) for row in data["results"]]
        except (KeyError, TypeError, ValueError):
            raise malformed(self._who, data) from None
        return RerankAnswer(
            [i for i, _ in ranked], [s for _, s in ranked], usage_of(data.get("usage"), deployment.price)
        )

    async def classify(self, deployment: Deployment, text: str, labels: list[str] | None) -> ClassifyAnswer:
        found = await self._classified(deployment, text, labels)
        return msgspec.structs.replace(found.answers[0], usage=found.usage)

    async def classify_each(
        self, deployment: Deployment, texts: list[str], labels: list[str] | None
    ) -> ClassifyAnswers:
        return await self._classified(deployment, texts, labels)

    async def _classified(
        self, deployment: Deployment, given: str | list[str], labels: list[str] | None
    ) -> ClassifyAnswers:
        body = {**deployment.options, "model": deployment.model, "input": given}
        if labels is not None:
            body["labels"] = labels
        data = await self._post("classify", body)
        try:
            answers = [
                ClassifyAnswer(
                    str(one["label"]),
                    {str(label): float(score) for label, score in one["scores"].items()},
                    float(one["confidence"]),
                )
                for one in data["results"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise malformed(self._who, data) from None
        if len(answers) != (1 if isinstance(given, str) else len(given)):
            raise malformed(self._who, data)
        return ClassifyAnswers(answers, usage_of(data.get("usage"), deployment.price))

    async def predict(self, deployment: Deployment, inputs: Mapping[str, Any]) -> PredictAnswer:
        """By the Open Inference Protocol v2, whose paths lie beside `/v1`."""
        try:
            tensors = [msgspec.to_builtins(to_tensor(name, value)) for name, value in inputs.items()]
        except InvalidInput as wrong:
            raise StepFailure("bad_request", wrong.detail, where=wrong.where, advice=wrong.advice) from None
        path = f"{self._root}/v2/models/{quote(deployment.model, safe='')}/infer"
        data = await self._post(path, {"inputs": tensors})
        try:
            outputs = [check(msgspec.convert(one, Tensor)) for one in data["outputs"]]
        except (KeyError, TypeError, msgspec.ValidationError, InvalidInput):
            raise malformed(self._who, data) from None
        return PredictAnswer({one.name: nested(one) for one in outputs}, usage_of({}, None))


async def _within(work: Awaitable[T], limit: float | None, who: str, begun: bool) -> T:
    """What is awaited, or StepFailure (`timeout`) when it takes too long."""
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError:
        what = "went silent in the middle of its answer" if begun else "did not begin to answer"
        raise StepFailure("timeout", f"{who} {what} in time.") from None


def _vector(raw: Any, who: str) -> list[float]:
    if isinstance(raw, str):
        data = base64.b64decode(raw)
        return list(struct.unpack(f"<{len(data) // 4}f", data))
    if isinstance(raw, list):
        return [float(number) for number in raw]
    raise malformed(who, raw)


class OpenAIProviders:
    """Providers by connection, kept while the connection stays as it is.

    `local_server` starts our own model server at first need and gives its address. `guarded` raises StepFailure for
    an address that may not be reached; our own server's is not asked about.
    """

    def __init__(
        self,
        secrets: SecretStore,
        local_server: Callable[[], Awaitable[str]],
        guarded: Callable[[str], Awaitable[None]],
    ) -> None:
        self._secrets = secrets
        self._local_server = local_server
        self._guarded = guarded
        self._kept: dict[tuple[int, str], tuple[Connection, str, OpenAIProvider]] = {}

    async def of(self, project_id: int, connection: Connection) -> OpenAIProvider:
        """Raises StepFailure (`unavailable`, `unauthorized`, `bad_request`, `egress_refused`) when there is none."""
        base_url = await self._address(connection)
        key = (project_id, connection.name)
        kept = self._kept.get(key)
        if kept is not None and kept[:2] == (connection, base_url):
            return kept[2]
        headers = {name: await self._revealed(project_id, value) for name, value in connection.headers.items()}
        if connection.api_key is not None:
            headers["Authorization"] = f"Bearer {await self._revealed(project_id, connection.api_key)}"
        provider = OpenAIProvider(connection, base_url, headers)
        self._kept[key] = (connection, base_url, provider)
        if kept is not None:
            await kept[2].close()
        return provider

    async def _revealed(self, project_id: int, value: str) -> str:
        found = reference(value)
        return found[0] + await self._secrets.reveal(project_id, found[1]) if found is not None else value

    async def _address(self, connection: Connection) -> str:
        if connection.kind == "local" and connection.base_url is None:
            return f"{await self._local_server()}/v1"
        parts = urlsplit(connection.base_url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StepFailure(
                "bad_request",
                f"The connection {connection.name!r} has no usable address: {connection.base_url!r}.",
                advice="Give it a base_url such as https://api.example.com/v1.",
            )
        await self._guarded(str(connection.base_url))
        return str(connection.base_url)

    async def close(self) -> None:
        for _, _, provider in self._kept.values():
            await provider.close()
        self._kept.clear()

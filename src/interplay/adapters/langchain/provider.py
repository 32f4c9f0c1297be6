"""Providers by connection, over LangChain's classes: made at first use, kept while the connection stays as it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final

import httpx

from interplay.adapters.langchain.answers import StreamedAnswer, usage_of, whole_answer
from interplay.adapters.langchain.asking import keywords
from interplay.adapters.langchain.errors import failure_of
from interplay.adapters.langchain.messages import langchain_messages
from interplay.adapters.langchain.site import Made, Make, Site
from interplay.adapters.langchain.vendors import VENDORS
from interplay.core.failures import StepFailure
from interplay.core.models.registry import Deployment
from interplay.core.models.requests import (
    ChatAnswer,
    ChatRequest,
    ClassifyAnswer,
    ClassifyAnswers,
    EmbedAnswer,
    PredictAnswer,
    RerankAnswer,
)
from interplay.ports.model_provider import OnDelta

# What classes raise for requests that they cannot say, and answers that they cannot read.
_OF_PYTHON: Final[tuple[type[Exception], ...]] = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RuntimeError,
    OSError,
)
_OF_HTTP: Final[tuple[type[Exception], ...]] = (httpx.HTTPError, httpx.StreamError)
CheckJson = Callable[[str, Any, str], Any]
"""The JSON of a text, checked against a schema: (text, schema, finish). Raises StepFailure."""


class LangChainProvider:
    """One connection. Raises StepFailure with the code that policies know, and nothing else."""

    def __init__(self, site: Site, check_json: CheckJson) -> None:
        self._site = site
        self._vendor = VENDORS[site.kind]
        self._check_json = check_json
        self._made: dict[tuple[str, str, str], Made] = {}
        self._making = asyncio.Lock()
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def connecting_within(self, seconds: float) -> LangChainProvider:  # noqa: ARG002
        """The classes' clients are made once, with times of their own."""
        return self

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
        made = await self._of("chat", self._vendor.chat, deployment.model, {})
        with self._failures(made):
            messages = langchain_messages(request.messages, self._vendor.remote_images)
            said = keywords(self._site, self._vendor, made, request, deployment.options)
            if idempotency_key and self._vendor.idempotent:
                said["extra_headers"] = {"Idempotency-Key": idempotency_key}
            if on_delta is None:
                async with asyncio.timeout(self._site.timeout):
                    message = await made.model.ainvoke(messages, **said)
                answer = whole_answer(message, self._site.name, deployment.price)
            else:
                streamed = StreamedAnswer(self._site.name)
                async with contextlib.aclosing(made.model.astream(messages, **said)) as chunks:
                    await self._hear(chunks, streamed, on_delta, (first_token, idle))
                answer = streamed.answer(deployment.price)
        return self._checked(answer, request)

    async def _hear(
        self,
        chunks: AsyncIterator[Any],
        streamed: StreamedAnswer,
        on_delta: OnDelta,
        limits: tuple[float | None, float | None],
    ) -> None:
        begun = False
        while True:
            limit = limits[1] if begun else limits[0]
            try:
                async with asyncio.timeout(limit) as waiting:
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not waiting.expired():
                    raise
                what = "went silent in the middle of its answer" if begun else "did not begin to answer"
                raise StepFailure("timeout", f"{self._site.name} {what} within {limit:g} s.") from None
            delta = streamed.take(chunk)
            if delta is not None:
                begun = True
                on_delta(delta)

    def _checked(self, answer: ChatAnswer, request: ChatRequest) -> ChatAnswer:
        if request.schema is None or answer.tool_calls:
            return answer
        data = self._check_json(answer.text, request.schema, answer.finish)
        return ChatAnswer(
            answer.text, data, [], answer.finish, answer.usage, answer.confidence, answer.reasoning, answer.logprobs
        )

    async def embed(self, deployment: Deployment, texts: list[str]) -> EmbedAnswer:
        made = await self._of("embed", self._vendor.embed, deployment.model, deployment.options)
        with self._failures(made):
            async with asyncio.timeout(self._site.timeout):
                vectors = await made.model.aembed_documents(texts)
        if len(vectors) != len(texts):
            raise StepFailure("unavailable", f"{self._site.name} gave {len(vectors)} vectors for {len(texts)} texts.")
        return EmbedAnswer([[float(number) for number in vector] for vector in vectors], usage_of(None, None))

    async def rerank(self, deployment: Deployment, query: str, documents: list[str], keep: int | None) -> RerankAnswer:
        made = await self._of("rerank", self._vendor.rerank, deployment.model, deployment.options)
        with self._failures(made):
            async with asyncio.timeout(self._site.timeout):
                ranked = (await made.model(query=query, documents=documents, top_n=keep)).results
            order, scores = [int(row.index) for row in ranked], [float(row.relevance_score) for row in ranked]
        return RerankAnswer(order, scores, usage_of(None, None))

    async def classify(self, deployment: Deployment, text: str, labels: list[str] | None) -> ClassifyAnswer:  # noqa: ARG002
        raise self._not_for("classify", deployment.model)

    async def classify_each(
        self,
        deployment: Deployment,
        texts: list[str],  # noqa: ARG002
        labels: list[str] | None,  # noqa: ARG002
    ) -> ClassifyAnswers:
        raise self._not_for("classify", deployment.model)

    async def predict(self, deployment: Deployment, inputs: Mapping[str, Any]) -> PredictAnswer:  # noqa: ARG002
        raise self._not_for("predict", deployment.model)

    async def _of(self, task: str, make: Make | None, model: str, options: dict[str, Any]) -> Made:
        """The class for a model, made in a thread: its first import takes seconds."""
        if make is None:
            raise self._not_for(task, model)
        key = (task, model, repr(sorted(options.items())))
        if key not in self._made:
            async with self._making:
                if key not in self._made:
                    self._made[key] = await asyncio.to_thread(self._build, make, model, dict(options))
        return self._made[key]

    def _build(self, make: Make, model: str, options: dict[str, Any]) -> Made:
        kind, name = self._site.kind, self._site.name
        try:
            return make(self._site, model, options)
        except ImportError as missing:
            raise StepFailure(
                "bad_request",
                f"The connection {name!r} needs the extra for {kind}, which is not installed ({missing}).",
                advice=f'Install it where this runs: pip install "interplay[{kind}]".',
            ) from None
        except _OF_PYTHON as wrong:
            raise StepFailure(
                "bad_request", f"The connection {name!r} or the options of {model!r} are not right: {wrong}"[:1000]
            ) from wrong

    def _not_for(self, task: str, model: str) -> StepFailure:
        return StepFailure(
            "bad_request", f"A connection of kind {self._site.kind} has no models for {task}.", where=model
        )

    @contextlib.contextmanager
    def _failures(self, made: Made) -> Iterator[None]:
        """Nothing is sent to a tracing service, whatever the environment says, and every error has a code."""
        from langsmith import tracing_context

        self._calls += 1
        self._idle.clear()
        try:
            with tracing_context(enabled=False):
                yield
        except StepFailure:
            raise
        except (*_OF_PYTHON, *_OF_HTTP, *made.errors) as error:
            raise failure_of(error, self._site.name) from error
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._idle.set()

    async def retire(self) -> None:
        """Closes when the calls that are under way have ended; no new ones are made of it."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        made, self._made = list(self._made.values()), {}
        for one in made:
            await one.close()

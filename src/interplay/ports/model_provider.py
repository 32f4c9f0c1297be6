"""One endpoint that answers for models: what adapters of providers implement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from interplay.core.models.registry import Deployment
from interplay.core.models.requests import (
    ChatAnswer,
    ChatRequest,
    ClassifyAnswer,
    ClassifyAnswers,
    Delta,
    EmbedAnswer,
    PredictAnswer,
    RerankAnswer,
)

OnDelta = Callable[[Delta], None]


class ModelProvider(Protocol):
    """Raises `core.failures.StepFailure` with the code that policies know; nothing else.

    Cancelling the awaiting task ends the upstream call. `idempotency_key` is sent where the upstream
    honours one. `on_delta` gets the pieces of the answer as they come and asks for a stream; together they are the
    answer that is returned.
    """

    async def chat(
        self,
        deployment: Deployment,
        request: ChatRequest,
        *,
        on_delta: OnDelta | None = None,
        idempotency_key: str | None = None,
        first_token: float | None = None,
        idle: float | None = None,
    ) -> ChatAnswer: ...

    async def embed(self, deployment: Deployment, texts: list[str]) -> EmbedAnswer: ...

    async def rerank(
        self, deployment: Deployment, query: str, documents: list[str], keep: int | None
    ) -> RerankAnswer: ...

    async def classify(self, deployment: Deployment, text: str, labels: list[str] | None) -> ClassifyAnswer: ...

    async def classify_each(
        self, deployment: Deployment, texts: list[str], labels: list[str] | None
    ) -> ClassifyAnswers: ...

    async def predict(self, deployment: Deployment, inputs: Mapping[str, Any]) -> PredictAnswer:
        """`inputs` by name: nested lists, or `{shape, datatype, data}`."""
        ...

    def connecting_within(self, seconds: float) -> ModelProvider:
        """The same, for calls that give up when no connection stands by then. One whose own client knows no such time
        for a single call gives itself."""
        ...

    async def close(self) -> None: ...

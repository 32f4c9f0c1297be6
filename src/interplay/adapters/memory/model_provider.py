"""A provider that answers from a script."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from interplay.core.failures import StepFailure
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
from interplay.ports.model_provider import OnDelta


class MemoryModelProvider:
    """`plan(answer)` lines up what the next call gives: an answer, or a StepFailure to raise. `calls` is the ledger."""

    def __init__(self) -> None:
        self._planned: deque[Any] = deque()
        self.calls: list[tuple[str, str, Any]] = []

    def plan(self, *answers: Any) -> None:
        self._planned.extend(answers)

    def _next(self, task: str, deployment: Deployment, asked: Any) -> Any:
        self.calls.append((task, deployment.model, asked))
        if not self._planned:
            raise StepFailure("unavailable", "Nothing was planned for this call.")
        answer = self._planned.popleft()
        if isinstance(answer, StepFailure):
            raise answer
        return answer

    def connecting_within(self, seconds: float) -> MemoryModelProvider:  # noqa: ARG002
        return self

    async def chat(
        self,
        deployment: Deployment,
        request: ChatRequest,
        *,
        on_delta: OnDelta | None = None,
        idempotency_key: str | None = None,  # noqa: ARG002
        first_token: float | None = None,  # noqa: ARG002
        idle: float | None = None,  # noqa: ARG002
    ) -> ChatAnswer:
        answer: ChatAnswer = self._next("chat", deployment, request)
        if on_delta is not None:
            for word in answer.text.split(" "):
                on_delta(Delta(word))
        return answer

    async def embed(self, deployment: Deployment, texts: list[str]) -> EmbedAnswer:
        answer: EmbedAnswer = self._next("embed", deployment, texts)
        return answer

    async def rerank(self, deployment: Deployment, query: str, documents: list[str], keep: int | None) -> RerankAnswer:
        answer: RerankAnswer = self._next("rerank", deployment, (query, documents, keep))
        return answer

    async def classify(self, deployment: Deployment, text: str, labels: list[str] | None) -> ClassifyAnswer:
        answer: ClassifyAnswer = self._next("classify", deployment, (text, labels))
        return answer

    async def classify_each(
        self, deployment: Deployment, texts: list[str], labels: list[str] | None
    ) -> ClassifyAnswers:
        answers: ClassifyAnswers = self._next("classify", deployment, (texts, labels))
        return answers

    async def predict(self, deployment: Deployment, inputs: Mapping[str, Any]) -> PredictAnswer:
        answer: PredictAnswer = self._next("predict", deployment, dict(inputs))
        return answer

    async def close(self) -> None:
        self._planned.clear()

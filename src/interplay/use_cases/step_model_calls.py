"""The calls of models that steps make: what to send, what a condition may see, what a cached answer depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from interplay.core.models.call_facts import CallFacts, estimated_tokens
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
from interplay.use_cases.model_call import Attempt, ModelCall, Whose
from interplay.use_cases.step_call import StepCall


def chat_call(step: StepCall, alias: str, request: ChatRequest) -> ModelCall[ChatAnswer]:
    timeout = step.policy.timeout

    async def send(attempt: Attempt) -> ChatAnswer:
        drop = request.drop_unsupported or attempt.drop_unsupported
        return await attempt.provider.chat(
            attempt.deployment,
            msgspec.structs.replace(request, drop_unsupported=drop),
            on_delta=attempt.on_delta,
            idempotency_key=attempt.idempotency_key,
            first_token=attempt.first_token,
            idle=attempt.idle,
        )

    meaning, around = _meaning(request)
    return ModelCall(
        step.project_id,
        alias,
        send,
        ChatAnswer,
        asked=request,
        meaning=meaning,
        asked_around=around,
        on_delta=_texts(step.on_delta),
        idempotency_key=step.idempotency_key,
        first_token=timeout.first_token,
        idle=timeout.idle,
        **_about(step, msgspec.structs.asdict(request)),
    )


def embed_call(step: StepCall, alias: str, texts: list[str]) -> ModelCall[EmbedAnswer]:
    async def send(attempt: Attempt) -> EmbedAnswer:
        return await attempt.provider.embed(attempt.deployment, texts)

    about = _about(step, {"input": texts})
    return ModelCall(step.project_id, alias, send, EmbedAnswer, asked=texts, **about)


def rerank_call(step: StepCall, alias: str, asked: tuple[str, list[str], int | None]) -> ModelCall[RerankAnswer]:
    query, documents, keep = asked

    async def send(attempt: Attempt) -> RerankAnswer:
        return await attempt.provider.rerank(attempt.deployment, query, documents, keep)

    about = _about(step, {"documents": documents, "query": query})
    return ModelCall(step.project_id, alias, send, RerankAnswer, asked=list(asked), **about)


def classify_call(step: StepCall, alias: str, text: str, labels: list[str] | None) -> ModelCall[ClassifyAnswer]:
    async def send(attempt: Attempt) -> ClassifyAnswer:
        return await attempt.provider.classify(attempt.deployment, text, labels)

    about = _about(step, {"input": text})
    return ModelCall(step.project_id, alias, send, ClassifyAnswer, asked=[text, labels], **about)


def classify_each_call(
    step: StepCall, alias: str, texts: list[str], labels: list[str] | None
) -> ModelCall[ClassifyAnswers]:
    async def send(attempt: Attempt) -> ClassifyAnswers:
        return await attempt.provider.classify_each(attempt.deployment, texts, labels)

    about = _about(step, {"input": texts})
    return ModelCall(step.project_id, alias, send, ClassifyAnswers, asked=[texts, labels], **about)


def predict_call(step: StepCall, alias: str, inputs: Mapping[str, Any]) -> ModelCall[PredictAnswer]:
    async def send(attempt: Attempt) -> PredictAnswer:
        return await attempt.provider.predict(attempt.deployment, inputs)

    return ModelCall(step.project_id, alias, send, PredictAnswer, asked=dict(inputs), **_about(step, {}))


def _texts(say: Callable[[str], None] | None) -> Callable[[Delta], None] | None:
    """Who follows a run sees the words only."""
    if say is None:
        return None

    def heard(delta: Delta) -> None:
        if delta.text:
            say(delta.text)

    return heard


def _about(step: StepCall, fields: dict[str, Any]) -> dict[str, Any]:
    """Whose call it is, and what its routing may depend on.

    The calls of one run are kept together by its id: what a run sends before is often what it sends again.
    """
    tokens = estimated_tokens(fields)
    run = str(step.run_id) if step.run_id is not None else ""
    metadata = {"step": step.step_key, "run": run, "kind": step.kind}
    facts = CallFacts(fields, metadata, user=run or None, tokens=tokens)
    whose = Whose(step.key_id, step.flow, step.run_id)
    return {"facts": facts, "whose": whose, "within": step.policy.timeout.attempt}


def _meaning(request: ChatRequest) -> tuple[str | None, Any]:
    """The last question as text, and everything around it; None where the last message is no plain question."""
    last = request.messages[-1] if request.messages else {}
    if last.get("role") != "user" or not isinstance(last.get("content"), str):
        return None, None
    return last["content"], msgspec.structs.replace(request, messages=request.messages[:-1])

"""The embedding of a question, for a cache that compares what questions mean."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from interplay.core.models.call_facts import CallFacts, estimated_tokens
from interplay.core.models.requests import EmbedAnswer
from interplay.use_cases.model_call import Attempt, ModelCall, Whose

Ask = Callable[[ModelCall[EmbedAnswer]], Awaitable[Any]]  # `CallModel.run`


def question_call(project_id: int, alias: str, text: str, whose: Whose) -> ModelCall[EmbedAnswer]:
    """It counts on the project and on the key, as the calls of steps do."""

    async def send(attempt: Attempt) -> EmbedAnswer:
        return await attempt.provider.embed(attempt.deployment, [text])

    fields = {"input": [text]}
    facts = CallFacts(fields, tokens=estimated_tokens(fields))
    return ModelCall(project_id, alias, send, EmbedAnswer, facts=facts, whose=whose)

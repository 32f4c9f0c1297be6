"""What a call used where its upstream did not say: from the length of what was asked and of what was heard."""

from __future__ import annotations

from typing import Any, Final

from interplay.core.models.call_facts import question_tokens
from interplay.core.models.requests import ChatAnswer, EmbedAnswer, RerankAnswer
from interplay.core.models.usage import Usage
from interplay.core.models.wire import BYTES_A_TOKEN
from interplay.use_cases.model_call import ModelCall

ANSWER: Final = 256  # tokens, where nothing says how long the answer may be
_COUNTED: Final = (ChatAnswer, EmbedAnswer, RerankAnswer)  # the others are made of no tokens


def bound(call: ModelCall[Any]) -> Usage:
    """What a call may use: the question, and the longest answer that it asks for."""
    request = call.facts.request
    asked = request.get("max_completion_tokens") or request.get("max_tokens")
    answer = 0 if call.answer is not ChatAnswer else asked if isinstance(asked, int) else ANSWER
    return Usage(question_tokens(request), answer, 0, 1)


def counted_or_guessed(call: ModelCall[Any], answer: Any) -> tuple[Usage, bool]:
    """As the upstream counted; where it did not, or what it says cannot be, a guess, and true."""
    usage: Usage = answer.usage
    if not isinstance(answer, _COUNTED) or (usage.tokens and usage.believable):
        return usage, False
    return guessed(call, _length(answer) if isinstance(answer, ChatAnswer) else 0), True


def guessed(call: ModelCall[Any], heard: int) -> Usage:
    """The question, and so many characters of an answer."""
    return Usage(question_tokens(call.facts.request), heard // BYTES_A_TOKEN, 0, 1)


def _length(answer: ChatAnswer) -> int:
    calls = sum(len(str(made.get("function", ""))) for made in answer.tool_calls)
    return len(answer.text) + len(answer.reasoning) + calls

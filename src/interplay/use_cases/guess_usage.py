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


def counted_or_guessed(call: ModelCall[Any], answer: Any) -> tuple[Usage, bool]:
    """As the upstream counted; where it did not, or what it says cannot be, a guess, and true."""
    usage: Usage = answer.usage
    if not isinstance(answer, _COUNTED) or (usage.tokens and usage.believable):
        return usage, False
    wrote = len(answer.text) + len(answer.reasoning) if isinstance(answer, ChatAnswer) else 0
    return guessed_of_a_part(call, wrote), True


def guessed(call: ModelCall[Any]) -> Usage:
    """The question and the longest answer that was asked for, before anybody counted."""
    asked = call.facts.request.get("max_tokens")
    answer = min(call.facts.tokens, asked if isinstance(asked, int) else ANSWER)
    return Usage(call.facts.tokens - answer, answer, 0, 1)


def guessed_of_a_part(call: ModelCall[Any], heard: int) -> Usage:
    """The question, and so many characters of an answer."""
    return Usage(question_tokens(call.facts.request), heard // BYTES_A_TOKEN, 0, 1)

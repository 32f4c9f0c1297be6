"""What the routing of a call may depend on, and the conditions that look at it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from interplay.core.failures import StepFailure
from interplay.core.flows.expressions import AnyExpression, ExpressionProblem, compile_expression
from interplay.core.flows.types import ANY

NAMES: Final = ("request", "metadata", "key")
NOTHING: Final[Mapping[str, Any]] = {}
MOST_CHARACTERS: Final = 2_000  # of a condition
MOST_CONDITIONS: Final = 32  # of a policy
_LONGEST: Final = 256  # characters of a text that a condition may see
_MOST_FIELDS: Final = 64
COUNTED: Final = ("messages", "tools", "input", "documents")  # lists of which conditions see the length
_CHARACTERS: Final = 4  # of a token, roughly
_ANSWER: Final = 256  # tokens, where nothing says how long the answer may be


class CallFacts:
    """`tokens`: an estimate of question and answer together, 0 when it is not known. `request`, `metadata` and `key`
    may be as large as callers send them: conditions see what `names` leaves of them."""

    __slots__ = ("_names", "headers", "key", "metadata", "request", "tokens", "user")

    def __init__(
        self,
        request: Mapping[str, Any] = NOTHING,
        metadata: Mapping[str, Any] = NOTHING,
        key: Mapping[str, Any] = NOTHING,
        *,
        user: str | None = None,
        headers: Mapping[str, str] = NOTHING,
        tokens: int = 0,
    ) -> None:
        self.request = request
        self.metadata = metadata
        self.key = key
        self.user = user
        self.headers = headers
        self.tokens = tokens
        self._names: dict[str, Any] | None = None

    def names(self) -> Mapping[str, Any]:
        """What conditions see, made once."""
        if self._names is None:
            request = {**_small(self.request, 0), "tokens": self.tokens}
            self._names = {"request": request, "metadata": _small(self.metadata, 1), "key": _small(self.key, 1)}
        return self._names

    def affine_to(self, affinity: str) -> str | None:
        """The value that calls are kept together by: `user`, or `header:x-session` (names in lower case)."""
        if affinity == "user":
            return self.user
        return self.headers.get(affinity.removeprefix("header:").lower())


def _small(fields: Mapping[str, Any], levels: int) -> dict[str, Any]:
    """Scalars, the beginning of texts, and how many messages, tools, texts and documents there are; of `levels` of
    mappings within. However large the fields are, this is small."""
    seen: dict[str, Any] = {}
    for name, value in fields.items():
        if len(seen) >= _MOST_FIELDS:
            break
        if value is None or isinstance(value, bool | int | float):
            seen[name] = value
        elif isinstance(value, str):
            seen[name] = value[:_LONGEST]
        elif isinstance(value, list | tuple) and name in COUNTED:
            seen[name] = len(value)
        elif isinstance(value, Mapping) and levels:
            seen[name] = _small(value, levels - 1)
    return seen


def estimated_tokens(fields: Mapping[str, Any]) -> int:
    """What a deployment's context must hold, roughly: the messages and the longest answer asked for; of texts and
    documents the longest, since each has the context to itself."""
    if isinstance(fields.get("messages"), list):
        most = fields.get("max_completion_tokens") or fields.get("max_tokens")
        return question_tokens(fields) + (most if isinstance(most, int) else _ANSWER)
    longest = max(map(_length, _texts(fields)), default=0)
    return (longest + _length(fields.get("query"))) // _CHARACTERS


def question_tokens(fields: Mapping[str, Any]) -> int:
    """What an upstream reads, roughly: of all messages, texts and documents."""
    messages = fields.get("messages")
    if isinstance(messages, list):
        return sum(_length(m.get("content")) for m in messages if isinstance(m, dict)) // _CHARACTERS
    return (sum(map(_length, _texts(fields))) + _length(fields.get("query"))) // _CHARACTERS


def _texts(fields: Mapping[str, Any]) -> Sequence[Any]:
    texts = fields.get("documents") or fields.get("input") or ()
    return texts if isinstance(texts, list | tuple) else [texts]


def _length(content: Any) -> int:
    """Characters of a text, or of the texts among parts; pictures count nothing."""
    if isinstance(content, str):
        return len(content)
    if isinstance(content, dict):
        return _length(content.get("text"))
    return sum(_length(part) for part in content if isinstance(part, dict)) if isinstance(content, list) else 0


@functools.lru_cache(4096)
def compile_condition(source: str) -> AnyExpression:
    """A condition over `request`, `metadata` and `key`. Raises ExpressionProblem."""
    if len(source) > MOST_CHARACTERS:
        raise ExpressionProblem(f"the condition has {len(source):,} characters, and {MOST_CHARACTERS:,} are allowed")
    compiled = compile_expression(source, dict.fromkeys(NAMES, ANY))
    if compiled.result not in ("boolean", "any"):
        raise ExpressionProblem(f"true or false is expected, and `{source.strip()}` is {compiled.type}")
    return compiled


def holds(condition: AnyExpression, facts: CallFacts) -> bool:
    """False too when it cannot be computed: a condition over something that is absent does not hold."""
    try:
        value = condition.evaluate(facts.names())
    except StepFailure:
        return False
    return value is True

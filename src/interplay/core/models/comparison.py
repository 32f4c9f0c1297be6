"""What another deployment would have answered: kept for people to compare, never given to a caller."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from interplay.core.failures import Failure

MOST_KEPT: Final = 16_384  # characters of a question or an answer


class Side(msgspec.Struct, frozen=True, omit_defaults=True):
    """One deployment's part: its answer, or how it failed."""

    deployment: str
    seconds: float
    answer: Any = None
    failure: Failure | None = None


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """`same`: both gave the same text, label, vectors or order; usage and confidence do not count."""

    alias: str
    at: float
    asked: Any
    given: Side
    shadow: Side
    same: bool = False


def shortened(value: Any) -> Any:
    """The value as JSON, or the beginning of it as text where it is long."""
    plain = msgspec.to_builtins(value)
    text = json.dumps(plain, ensure_ascii=False)
    return plain if len(text) <= MOST_KEPT else text[:MOST_KEPT] + "…"


def same_answer(one: Any, other: Any) -> bool:
    """Whether two answers of models say the same."""
    kept = [_essence(msgspec.to_builtins(answer)) for answer in (one, other)]
    return bool(kept[0] == kept[1])


def _essence(answer: Any) -> Any:
    if not isinstance(answer, dict):
        return answer
    told = {name: value for name, value in answer.items() if name in ("text", "json", "tool_calls", "label", "order")}
    return told or answer.get("vectors")

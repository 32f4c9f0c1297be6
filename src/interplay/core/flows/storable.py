"""Whether a value can be kept: JSON as the journal holds it, with whole numbers of 64 bits."""

from __future__ import annotations

import math
from typing import Any, Final

MOST_DEPTH: Final = 100


def unstorable(value: Any, path: str) -> str | None:
    """A sentence about the first thing in a value that cannot be kept; None when all can."""
    todo: list[tuple[Any, str, int]] = [(value, path, 0)]
    while todo:
        item, at, depth = todo.pop()
        if isinstance(item, str):
            if not item.isascii() and _broken(item):
                return f"{at} holds half of a character (a lone surrogate)"
        elif isinstance(item, bool) or item is None:
            continue
        elif isinstance(item, int):
            if not -(2**63) <= item < 2**63:
                return f"{at} is a whole number that does not fit into 64 bits"
        elif isinstance(item, float):
            if not math.isfinite(item):
                return f"{at} is {item}, which is no number in JSON"
        elif depth >= MOST_DEPTH:
            return f"{at[:80]} is nested more than {MOST_DEPTH} levels deep"
        elif isinstance(item, dict):
            strange = next((key for key in item if not isinstance(key, str) or _broken(key)), None)
            if strange is not None:
                return f"{at} has the key {strange!r}, and keys are text"
            todo.extend((inner, f"{at}.{key}", depth + 1) for key, inner in item.items() if not _plain(inner))
        elif isinstance(item, list | tuple):
            todo.extend((inner, f"{at}[{place}]", depth + 1) for place, inner in enumerate(item) if not _plain(inner))
        else:
            return f"{at} is of the type {type(item).__name__}, which JSON does not have"
    return None


def _plain(value: Any) -> bool:
    """Surely storable, at a glance: a vector of a thousand numbers needs no thousand paths."""
    kind = type(value)
    return (kind is float and math.isfinite(value)) or (kind is str and value.isascii())


def _broken(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)

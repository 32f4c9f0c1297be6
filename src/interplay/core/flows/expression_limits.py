"""How much an expression may build: told from its text once, and from its data before each evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from interplay.core.failures import StepFailure
from interplay.core.flows.expression_text import ExpressionProblem, arguments, blank, dotted

MOST_WORK: Final = 64 * 1024 * 1024  # bytes that an evaluation may build, by estimate
MOST_ITEMS: Final = 10_000  # of a list that map or filter walks on its own
MOST_BUILT: Final = 2_000  # items of a list that CEL builds itself: it takes 16 bytes for each pair of them
_BUILDING = re.compile(r"\.\s*(?:map|filter)\s*\(")
_COMPREHENSION = re.compile(r"\.\s*(?:map|filter|all|exists|exists_one)\s*\(\s*(\w+)\s*,")
_CALL = re.compile(r"\.\s*(replace|join|format|quote|split)\s*\(")


class Risk:
    """What an expression can do to the size of its data.

    `factor`: how often a part of the data may stand in the result; `power`: how often each part of it may
    be replaced by all of it; `nested`: how many comprehensions there are whose bodies name more than their own
    item, each at worst inside another.
    """

    __slots__ = ("_building", "_factor", "_items", "_nested", "_power", "_splits", "always")

    def __init__(self, source: str) -> None:
        bare = blank(source)
        self._factor = bare.count("+") + 1
        self._power = 0
        self._nested = sum(_reaches_out(bare, found) for found in _COMPREHENSION.finditer(bare))
        self._building = bool(_BUILDING.search(bare))
        self._items = bare.count(",") + 1
        self._splits = False
        for found in _CALL.finditer(bare):
            self._count(found[1], source, bare, found.end())
        self.always = self._building or self._power > 0 or self._factor > 64

    def _count(self, name: str, source: str, bare: str, begin: int) -> None:
        if name == "split":
            self._splits = True
        elif name in ("format", "quote"):
            self._factor *= 4
        else:
            try:
                parts, _ = arguments(source, bare, begin)
            except ExpressionProblem:
                return  # it did not compile
            added = parts[1:2] if name == "replace" else parts[:1]
            if added and blank(added[0]).strip():
                self._power += 1
            elif added:
                between = name == "join" or parts[0].strip() in ("''", '""')
                self._factor *= max(1, len(added[0].strip()) - 2 + between)

    def check(self, data: Mapping[str, Any], source: str) -> None:
        """Raises StepFailure (`expression`) when it may build too much from this data."""
        if not self.always and self._factor == 1:
            return
        size, longest = extent(data)
        longest = max(longest, self._items, size if self._splits else 0)
        if self._building and longest > MOST_BUILT:
            raise StepFailure(
                "expression",
                f"`{short(source)}` may build a list of {longest:,}; inside an expression {MOST_BUILT:,} are allowed.",
                advice=f"As an expression of its own, list.map(…) may walk {MOST_ITEMS:,}.",
            )
        turns = min(10_000, max(longest, 16) ** min(self._nested, 4)) if self._nested else 1
        growth = max(1, size) ** min(self._power, 4)
        grows = self._factor > 1 or self._power or (self._building and self._nested)
        if grows and self._factor * max(size, 1) * turns * growth > MOST_WORK:
            raise StepFailure(
                "expression",
                f"`{short(source)}` would build too much from {size:,} bytes of data.",
                advice="Concatenate less, or leave it to a step of its own.",
            )


def _reaches_out(bare: str, found: re.Match[str]) -> bool:
    """Whether the body of a comprehension names anything but its own item."""
    depth, end = 1, found.end()
    while end < len(bare) and depth:
        depth += (bare[end] in "([{") - (bare[end] in ")]}")
        end += 1
    return any(root != found[1] for root, _, _ in dotted(bare[found.end() : end - 1]))


def extent(value: Any) -> tuple[int, int]:
    """A guess of the bytes in a value, and the length of its longest list or mapping."""
    size, longest, todo = 0, 0, [value]
    while todo:
        item = todo.pop()
        if item.__class__ is str:
            size += len(item)
            continue
        size += 8
        if isinstance(item, dict):
            longest = max(longest, len(item))
            todo.extend(item.values())
        elif isinstance(item, list):
            longest = max(longest, len(item))
            todo.extend(item)
    return size, longest


def short(source: str) -> str:
    """A source as it is shown in a sentence."""
    return source if len(source) <= 80 else source[:77] + "…"

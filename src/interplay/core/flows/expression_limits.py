"""How much an expression may build and walk: told from its text once, and from its data before each evaluation.

CEL keeps the interpreter's lock while it evaluates, and nothing can interrupt it. So the work is estimated
first, on the side of too much, and an evaluation that could take longer than about a tenth of a second is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from interplay.core.failures import StepFailure
from interplay.core.flows.expression_text import ExpressionProblem, arguments, blank
from interplay.core.flows.expression_walks import bodies, walks

MOST_WORK: Final = 64 * 1024 * 1024  # bytes that an evaluation may build, by estimate
MOST_WALKED: Final = 32 * 1024 * 1024  # bytes that it may walk: about 4 ns each
MOST_READ: Final = 250_000  # values that are handed over to it: about 0.4 µs each
MOST_ITEMS: Final = 10_000  # of a list that map or filter walks on its own
MOST_BUILT: Final = 2_000  # items of a list that CEL builds itself: it takes 16 bytes for each pair of them
MOST_TURNS: Final = 10_000  # that CEL itself allows
_BUILDING = re.compile(r"\.\s*(?:map|filter)\s*\(")
_MAKING: Final = ("map", "optMap", "optFlatMap")
_CALL = re.compile(r"\.\s*(replace|join|format|quote|split)\s*\(")


class Extent(NamedTuple):
    """A guess of the bytes in a value, the length of its longest list or mapping, and how many values it has."""

    size: int
    longest: int
    values: int


class Risk:
    """What an expression can do to the size of its data, and how often it may walk it.

    `factor`: how often a part of the data may stand in the result; `power`: how often each part of it may
    be replaced by all of it; `nested`: how many comprehensions there are whose bodies name more than their own
    item, each at worst inside another.
    """

    __slots__ = ("_bodies", "_building", "_factor", "_items", "_nested", "_power", "_splits", "_walks", "always")

    def __init__(self, source: str) -> None:
        bare = blank(source)
        self._factor = bare.count("+") + 1
        self._power = 0
        self._walks = walks(source, bare)
        self._bodies = bodies(bare, self._walks)
        self._nested = sum(bool(body.outside) for body in self._bodies)
        self._building = bool(_BUILDING.search(bare))
        self._items = bare.count(",") + 1
        self._splits = False
        for found in _CALL.finditer(bare):
            self._count(found[1], source, bare, found.end())
        for body in self._bodies:
            if body.kind in _MAKING:
                self._factor *= max(1, body.own)
        self.always = self._building or self._power > 0 or self._factor > 64 or bool(self._bodies)
        self.always = self.always or any(walk.once for walk in self._walks)

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
        """Raises StepFailure (`expression`) when it may build or walk too much of this data."""
        extents = {name: extent(value) for name, value in data.items()}
        size = 8 + sum(8 + found.size for found in extents.values())
        values = sum(found.values for found in extents.values())
        if values > MOST_READ:
            raise StepFailure(
                "expression",
                f"`{short(source)}` reads more than {MOST_READ:,} values at once.",
                advice="A `$reference` hands a value on as it is; a `map` step looks at one item after the other.",
            )
        longest = max((found.longest for found in extents.values()), default=0)
        longest = max(longest, self._items, size if self._splits else 0)
        self._check_built(size, longest, source)
        if self._walked(data, extents, size, longest) > MOST_WALKED:
            raise StepFailure(
                "expression",
                f"`{short(source)}` would walk too much: it goes through its {size:,} bytes of data too often.",
                advice="Let a `map` step do it item by item, or hand less over to it.",
            )

    def _check_built(self, size: int, longest: int, source: str) -> None:
        if self._building and longest > MOST_BUILT:
            raise StepFailure(
                "expression",
                f"`{short(source)}` may build a list of {longest:,}; inside an expression {MOST_BUILT:,} are allowed.",
                advice=f"As an expression of its own, list.map(…) may walk {MOST_ITEMS:,}.",
            )
        turns = self._turns(longest)
        growth = size ** min(self._power, 4)
        grows = self._factor > 1 or self._power or (self._building and self._nested)
        if grows and self._factor * size * turns * growth > MOST_WORK:
            raise StepFailure(
                "expression",
                f"`{short(source)}` would build too much from {size:,} bytes of data.",
                advice="Concatenate less, or leave it to a step of its own.",
            )

    def _turns(self, longest: int) -> int:
        return min(MOST_TURNS, max(longest, 16) ** min(self._nested, 4)) if self._nested else 1

    def _walked(self, data: Mapping[str, Any], extents: Mapping[str, Extent], size: int, longest: int) -> int:
        """Bytes, at most: what every operation walks once, and what those inside comprehensions walk each turn."""
        largest = max(map(largest_item, data.values()), default=0) if self._walks else 0
        work = sum(walk.cost(size, data, largest) + walk.once for walk in self._walks)
        if not self._bodies or not self._walks:
            return work
        turns = min(MOST_TURNS, max(longest, 16) ** min(len(self._bodies), 4))
        bound = {body.variable for body in self._bodies}
        reaching = any(body.outside and body.kind in _MAKING for body in self._bodies)
        item = size * self._factor if reaching else largest
        for body in self._bodies:
            names = body.outside | ({body.variable} if reaching else frozenset())
            each = sum(_size_of(name, extents, item if name.split(".")[0] in bound else None) for name in names)
            if names or any(walk.once for walk in body.walks):
                work += turns * sum(walk.cost(each, data, item) + walk.once for walk in body.walks)
        return work  # a body that names its item only walks each of them once, and that is counted above


def _size_of(path: str, extents: Mapping[str, Extent], item: int | None) -> int:
    """What of the data a path in the body of a comprehension may stand for."""
    if item is not None:
        return item
    met = [name for name in extents if f"{path}.".startswith(f"{name}.") or name.startswith(f"{path}.")]
    return sum(8 + extents[name].size for name in met)


def largest_item(value: Any) -> int:
    """The bytes of the largest thing in a list or mapping."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    keys = max(map(len, value), default=0) if isinstance(value, dict) else 0
    return max(keys, max((extent(item).size for item in inner), default=0))


def extent(value: Any) -> Extent:
    """Stops counting where nothing may be evaluated any more."""
    size, longest, values, todo = 0, 0, 0, [value]
    while todo and values <= MOST_READ:
        item = todo.pop()
        values += 1
        if item.__class__ is str:
            size += len(item)
            continue
        size += 8
        if isinstance(item, dict):
            longest = max(longest, len(item))
            if len(item) > MOST_READ:
                return Extent(size + 8 * len(item), longest, len(item))
            size += sum(map(len, item))
            todo.extend(item.values())
        elif isinstance(item, list):
            longest = max(longest, len(item))
            if len(item) > MOST_READ:
                return Extent(size + 8 * len(item), longest, len(item))
            todo.extend(item)
    return Extent(size, longest, values)


def short(source: str) -> str:
    """A source as it is shown in a sentence."""
    return source if len(source) <= 80 else source[:77] + "…"

"""The operations of an expression whose work grows with their data, and the comprehensions that repeat them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from interplay.core.flows.expression_text import ExpressionProblem, arguments, blank, dotted

# What a byte costs, measured, in units of about 4 ns; whatever else there is costs one.
_WEIGHTS: Final = {"replace": 14, "split": 24, "reverse": 3, "quote": 4, "format": 4, "trim": 2}
_PLAIN: Final = (
    *("join", "contains", "indexOf", "lastIndexOf", "startsWith", "endsWith", "substring", "charAt", "lowerAscii"),
    *("upperAscii", "string", "bytes", "int", "uint", "double", "timestamp", "duration", "size", "greatest", "least"),
)
_SEARCHING: Final = ("contains", "indexOf", "lastIndexOf", "replace", "split")
_COMPARED: Final = 128  # bytes that a search compares while it walks one: its worst is their product
_COMPILING: Final = (1_000, 75)  # units that a pattern costs before it is looked for, and for each of its parts
_CALL: Final = re.compile(rf"(?<![\w])({'|'.join((*_WEIGHTS, *_PLAIN, 'matches'))})\s*\(")
_OPERATOR: Final = re.compile(r"\bin\b|[=!<>]=|<|>|\+")
_LITERAL_BEHIND: Final = re.compile(r"\s*(?:-?\d|true\b|false\b|null\b|['\"])")
_LITERAL_BEFORE: Final = re.compile(r"(?:(?<![\w.])\d+(?:\.\d+)?|\btrue|\bfalse|\bnull|['\"])\s*$")
_COMPREHENSION: Final = re.compile(r"\.\s*\??\s*(map|filter|all|exists|exists_one|optMap|optFlatMap)\s*\(\s*(\w+)\s*,")
_REPEATED: Final = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_MOST_REPEATED: Final = 1_000  # a pattern may say so often; more is refused by the engine


@dataclass(frozen=True, slots=True)
class Walk:
    """One operation: its place, what a byte costs, and the text that it looks for where it does."""

    place: int
    name: str
    weight: int
    needle: str | None = None

    @property
    def literal(self) -> bool:
        return self.needle is not None and not blank(self.needle).strip()

    @property
    def once(self) -> int:
        """What it costs however little there is to walk."""
        if self.name != "matches":
            return 0
        fixed, each = _COMPILING
        return fixed + each * (_parts(self.needle or "") if self.literal else 0)

    def cost(self, size: int, data: Mapping[str, Any], item: int) -> int:
        """Units for `size` bytes; `item` is what the variable of a comprehension may hold."""
        if self.needle is None:
            return self.weight * size
        length = len(self.needle) if self.literal else 0
        parts = _parts(self.needle) if self.literal else 1
        if not self.literal:
            for root, fields, _ in dotted(blank(self.needle)):
                texts = _texts(data, root, fields)
                length += item if texts is None else sum(map(len, texts))
                parts += item * _MOST_REPEATED if texts is None else sum(map(_parts, texts))
        if self.name == "matches":
            return size * max(1, parts) + (0 if self.literal else _COMPILING[1] * parts)
        return size * (self.weight + length // _COMPARED)


@dataclass(frozen=True, slots=True)
class Body:
    """What a comprehension does for each item: `outside` are the paths in it whose names it does not bind
    itself, `own` is how often it names its item."""

    kind: str
    variable: str
    outside: frozenset[str]
    own: int
    walks: tuple[Walk, ...]


def walks(source: str, bare: str) -> tuple[Walk, ...]:
    """Each operation whose work grows with its data; what compares with a literal does not."""
    found = [_call(source, bare, call) for call in _CALL.finditer(bare)]
    for operator in _OPERATOR.finditer(bare):
        alone = operator[0] != "in" and (
            _LITERAL_BEHIND.match(source, operator.end())
            or _LITERAL_BEFORE.search(source, max(0, operator.start() - 40), operator.start())
        )
        if not alone:
            found.append(Walk(operator.start(), operator[0], 1))
    return tuple(found)


def _call(source: str, bare: str, call: re.Match[str]) -> Walk:
    name, needle = call[1], None
    if name in _SEARCHING or name == "matches":
        try:
            given, _ = arguments(source, bare, call.end())
        except ExpressionProblem:
            given = []  # it did not compile
        needle = given[-1 if name == "matches" else 0] if given else None
    return Walk(call.start(), name, _WEIGHTS.get(name, 1), needle)


def bodies(bare: str, every: tuple[Walk, ...]) -> tuple[Body, ...]:
    """Every comprehension of an expression, whatever it stands in."""
    made = []
    for found in _COMPREHENSION.finditer(bare):
        begin, end = found.end(), _closing(bare, found.end())
        text = bare[begin:end]
        inner = {bound[2] for bound in _COMPREHENSION.finditer(text)}
        outside = frozenset(
            ".".join((root, *fields)) for root, fields, _ in dotted(text) if root not in inner and root != found[2]
        )
        own = len(re.findall(rf"(?<![\w.]){re.escape(found[2])}\b", text))
        made.append(Body(found[1], found[2], outside, own, tuple(w for w in every if begin <= w.place < end)))
    return tuple(made)


def _closing(bare: str, begin: int) -> int:
    depth, end = 1, begin
    while end < len(bare) and depth:
        depth += (bare[end] in "([{") - (bare[end] in ")]}")
        end += 1
    return end - 1


def _parts(pattern: str) -> int:
    """At most so many states does a pattern have: its length, as often as it repeats parts of itself."""
    times = 1
    for low, high in _REPEATED.findall(pattern):
        times = min(_MOST_REPEATED, times * max(1, int(low[:9]), int(high[:9] or 0)))
    return len(pattern) * times


def _texts(data: Mapping[str, Any], root: str, fields: tuple[str, ...]) -> list[str] | None:
    """The texts that a name stands for; None when that is not to be told."""
    path = ".".join((root, *fields))
    value = data.get(path)
    if value is None:
        held = next((name for name in data if path.startswith(f"{name}.")), None)
        value = data.get(held) if held is not None else None
        for field in path[len(held or "") :].split(".")[1:]:
            value = value.get(field) if isinstance(value, dict) else None
    return [value] if isinstance(value, str) else None

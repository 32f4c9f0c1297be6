"""The filters of prompt templates: a short list, each metered. Knows nothing of the template engine."""

from __future__ import annotations

import html
import json
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

MOST_OUTPUT: Final = 4 * 1024 * 1024  # characters of one text
MOST_BUILT: Final = 8 * MOST_OUTPUT  # characters of all texts on the way
MOST_TURNS: Final = 100_000
MOST_SECONDS: Final = 2.0
# What the engine brings and is kept: filters that give one small thing, and filters that walk a list.
SMALL: Final = (
    *("abs", "capitalize", "count", "d", "default", "first", "float", "int", "last", "length", "lower", "round"),
    *("string", "title", "trim", "truncate", "upper", "wordcount"),
)
WALKING: Final = (
    *("dictsort", "items", "list", "map", "max", "min", "reject", "rejectattr", "reverse", "select", "selectattr"),
    *("sort", "sum", "unique"),
)


class TooMuch(Exception):
    """A bound was passed; the message says which."""


class Meter:
    """What one rendering has used."""

    __slots__ = ("built", "deadline", "turns")

    def __init__(self) -> None:
        self.turns = 0
        self.built = 0
        self.deadline = time.monotonic() + MOST_SECONDS

    def turn(self) -> None:
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise TooMuch(f"it takes more than {MOST_TURNS:,} steps")
        if time.monotonic() > self.deadline:
            raise TooMuch(f"it takes more than {MOST_SECONDS:g} s")

    def build(self, size: int) -> None:
        self.turn()
        self.built += size
        if size > MOST_OUTPUT or self.built > MOST_BUILT:
            raise TooMuch(f"it builds more than {min(size, MOST_OUTPUT) or MOST_OUTPUT:,} characters")


METER: ContextVar[Meter] = ContextVar("template_meter")


def tick() -> str:
    """One turn of a loop."""
    METER.get().turn()
    return ""


def shown(value: Any) -> str:
    """A value as text: JSON for what is not text, nothing for null."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, dict | list | tuple) and hasattr(value, "__iter__"):
        value = list(value)
    METER.get().build(_size(value))
    return json.dumps(value, ensure_ascii=False)


def concat(*parts: Any) -> str:
    """`a ~ b`."""
    texts = [shown(part) for part in parts]
    METER.get().build(sum(len(text) for text in texts))
    return "".join(texts)


def added(left: Any, right: Any) -> None:
    """Counts what `left + right` will build."""
    METER.get().build(_length(left) + _length(right))


def numbers(*args: int) -> range:
    """`range()`."""
    made = range(*args)
    if len(made) > MOST_TURNS:
        raise TooMuch(f"range has more than {MOST_TURNS:,} numbers")
    return made


def metered(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """An engine's filter that counts what it walks and what it builds."""
    passes_context = hasattr(function, "jinja_pass_arg")

    def call(*args: Any, **kwargs: Any) -> Any:
        value = args[1] if passes_context and len(args) > 1 else args[0]
        size = _length(value)
        if name in WALKING and size > MOST_TURNS:
            raise TooMuch(f"`{name}` walks more than {MOST_TURNS:,} items")
        METER.get().build(size if isinstance(value, str | list | dict) else 1)
        made = function(*args, **kwargs)
        if name == "list" and len(made) > MOST_TURNS:
            raise TooMuch(f"`list` has more than {MOST_TURNS:,} items")
        return made

    if passes_context:
        call.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return call


def _tojson(value: Any, indent: int | None = None) -> str:
    METER.get().build(_size(value))
    made = json.dumps(value, ensure_ascii=False, indent=min(int(indent), 8) if indent else None)
    METER.get().build(len(made))
    return made


def _replace(value: Any, old: str, new: str) -> str:
    text, old, new = shown(value), shown(old), shown(new)
    METER.get().build(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new)


def _join(value: Any, separator: str = "", attribute: str | None = None) -> str:
    texts: list[str] = []
    meter, between = METER.get(), shown(separator)
    total = 0
    for item in value:
        if attribute is not None:
            item = item.get(attribute, "") if isinstance(item, Mapping) else ""
        texts.append(shown(item))
        total += len(texts[-1]) + len(between)
        if total > MOST_OUTPUT:
            raise TooMuch(f"it builds more than {MOST_OUTPUT:,} characters")
    meter.build(total)
    return between.join(texts)


def _indent(value: Any, width: int = 4, first: bool = False) -> str:
    lines = shown(value).split("\n")
    pad = " " * min(max(int(width), 0), 64)
    METER.get().build(sum(len(line) for line in lines) + len(pad) * len(lines))
    return "\n".join(line if (i == 0 and not first) or not line else pad + line for i, line in enumerate(lines))


def _escape(value: Any) -> str:
    METER.get().build(_length(value) * 6 if isinstance(value, str) else 1)
    return html.escape(shown(value))


OURS: Final[Mapping[str, Callable[..., Any]]] = {
    "tojson": _tojson,
    "replace": _replace,
    "join": _join,
    "indent": _indent,
    "e": _escape,
    "escape": _escape,
}
NAMES: Final = frozenset({*SMALL, *WALKING, *OURS})


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict | range) else 32


def _size(value: Any) -> int:
    """A guess of the characters that a value has as JSON; generous, and never more than the bound needs."""
    size, todo = 0, [value]
    while todo and size <= MOST_OUTPUT:
        item = todo.pop()
        size += len(item) if isinstance(item, str) else 8
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list | tuple):
            todo.extend(item)
    return size

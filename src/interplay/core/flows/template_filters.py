"""The filters of prompt templates: a short list, each metered. Knows nothing of the template engine.

`SMALL`, `TEXT` and `WALKING` name those that are the engine's own, wrapped here; the rest is ours. Ours that
look for attributes take the engine's environment first (`WITH_ENVIRONMENT`), for its `getitem`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from interplay.core.flows.template_meter import (
    METER,
    MOST_OUTPUT,
    MOST_TURNS,
    MOST_WEIGHED,
    TooMuch,
    length,
    listed,
    shown_size,
    walked,
    weight,
)
from interplay.core.flows.template_text import shown

SMALL: Final = ("abs", "count", "d", "default", "first", "last", "length")
TEXT: Final = ("capitalize", "lower", "title", "trim", "truncate", "upper")  # each over a text as a whole
WALKING: Final = ("map", "reject", "rejectattr", "select", "selectattr")
_MOST_TITLED: Final = 256 * 1024  # characters: it takes its text apart into words
_MOST_NAMED: Final = 200  # characters of the name of an attribute
_MOST_STRIPPED: Final = 100  # different characters that trim takes away
_MOST_DIGITS: Final = 400
_WORD: Final = re.compile(r"\w+")


def small(function: Callable[..., Any], passes: bool) -> Callable[..., Any]:
    """An engine's filter that does one small thing; `passes`: the engine hands something over before the value."""

    def call(*args: Any, **kwargs: Any) -> Any:
        METER.get().turn()
        return function(*args, **kwargs)

    return _marked(call, function) if passes else call


def text(name: str, function: Callable[..., Any], passes: bool) -> Callable[..., Any]:
    """An engine's filter over a text, with what is no text shown as one."""
    place = int(passes)

    def call(*args: Any, **kwargs: Any) -> Any:
        value = shown(args[place])
        METER.get().build(len(value))
        given = [*args[place + 1 :], *kwargs.values()]
        if name == "title" and len(value) > _MOST_TITLED:
            raise TooMuch(f"`title` is for texts of up to {_MOST_TITLED:,} characters")
        if name == "trim" and any(length(chars) > _MOST_STRIPPED for chars in given):
            raise TooMuch(f"`trim` takes up to {_MOST_STRIPPED} characters away")
        return function(*args[:place], value, *args[place + 1 :], **kwargs)

    return _marked(call, function) if passes else call


def walking(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """An engine's filter that goes through a list: it looks at the meter for each item."""

    def call(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        if length(value) > MOST_TURNS:
            raise TooMuch(f"`{name}` walks more than {MOST_TURNS:,} items")
        METER.get().turn()
        for given in (*args[: name.endswith("attr")], kwargs.get("attribute")):
            _parts(given)
        return function(context, walked(value), *args, **kwargs)

    return _marked(call, function)


def _marked(call: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    call.jinja_pass_arg = function.jinja_pass_arg  # type: ignore[attr-defined]
    return call


# ---------------------------------------------------------------------- lists


def _parts(attribute: Any) -> tuple[str | int, ...]:
    """`address.city`, `0.text`."""
    if attribute is None:
        return ()
    if isinstance(attribute, int):
        return (attribute,)
    if not isinstance(attribute, str) or len(attribute) > _MOST_NAMED:
        raise TooMuch(f"an attribute has a name of up to {_MOST_NAMED} characters")
    return tuple(int(part) if part.isdigit() else part for part in attribute.split("."))


def _keys(environment: Any, items: list[Any], attribute: Any, case_sensitive: bool) -> tuple[list[Any], int]:
    """What the items are compared by, and how many values there are to compare."""
    meter, parts = METER.get(), _parts(attribute)
    keys, total = [], 0
    for item in walked(items):
        found = item
        for part in parts:
            found = environment.getitem(found, part)
        if isinstance(found, str) and not case_sensitive:
            meter.add(len(found))
            found = found.lower()
        keys.append(found)
        each = weight(found)
        if each > MOST_WEIGHED:
            raise TooMuch("there is too much to compare")
        total += each
    return keys, total


def _sort(
    environment: Any, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    items = listed(value, "sort")
    names = attribute.split(",") if isinstance(attribute, str) and len(attribute) <= _MOST_NAMED else [attribute]
    columns = [_keys(environment, items, name, case_sensitive) for name in names]
    METER.get().work(sum(total for _, total in columns) * max(1, len(items).bit_length()))
    keys = columns[0][0] if len(columns) == 1 else list(zip(*(column for column, _ in columns), strict=True))
    return [items[place] for place in sorted(range(len(items)), key=keys.__getitem__, reverse=bool(reverse))]


def _dictsort(
    environment: Any, value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    if by not in ("key", "value"):
        raise TooMuch('dictsort sorts by "key" or by "value"')
    return _sort(environment, value.items(), reverse, case_sensitive, 0 if by == "key" else 1)


def _extreme(choose: Callable[..., Any], word: str) -> Callable[..., Any]:
    def call(environment: Any, value: Any, case_sensitive: bool = False, attribute: Any = None) -> Any:
        items = listed(value, word)
        if not items:
            return environment.undefined(f"`{word}` of nothing")
        keys, total = _keys(environment, items, attribute, case_sensitive)
        METER.get().work(2 * total)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return call


def _unique(environment: Any, value: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
    items = listed(value, "unique")
    keys, total = _keys(environment, items, attribute, case_sensitive)
    METER.get().work(4 * total)
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    return [items[place] for place in sorted(first.values())]


def _sum(environment: Any, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    """Of numbers, or of lists one after the other."""
    parts, meter = _parts(attribute), METER.get()
    total = listed(start, "sum") if isinstance(start, list | tuple) else start
    for item in walked(value):
        found = item
        for part in parts:
            found = environment.getitem(found, part)
        if isinstance(total, list) and isinstance(found, list | tuple):
            meter.build(len(found))
            total.extend(found)
        elif isinstance(total, int | float) and not isinstance(found, str):
            total = total + found
        else:
            raise TooMuch("`sum` adds numbers, or lists to `start=[]`; use `join` for texts")
    return total


def _list(value: Any) -> list[Any]:
    return listed(value, "list")


def _reverse(value: Any) -> Any:
    if isinstance(value, str):
        METER.get().build(len(value))
        return value[::-1]
    return listed(value, "reverse")[::-1]


def _items(value: Any) -> Iterator[Any]:
    if not isinstance(value, Mapping):
        raise TypeError("`items` is for objects")
    return walked(value.items())


# ---------------------------------------------------------------------- numbers


def _int(value: Any, default: Any = 0, base: int = 10) -> Any:
    if length(value) > _MOST_DIGITS:
        return default
    try:
        return int(value, base) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        try:
            return int(float(value))
        except (TypeError, ValueError, OverflowError):
            return default


def _float(value: Any, default: Any = 0.0) -> Any:
    try:
        return default if length(value) > _MOST_DIGITS else float(value)
    except (TypeError, ValueError, OverflowError):
        return default


def rounding(function: Callable[..., Any]) -> Callable[..., Any]:
    """The engine's `round`, for as many digits as a number has."""
    return lambda value, precision=0, method="common": function(value, max(-30, min(30, int(precision))), method)


# ---------------------------------------------------------------------- texts


def _wordcount(value: Any) -> int:
    return sum(1 for _ in walked(_WORD.finditer(shown(value))))


def _tojson(value: Any, indent: int | None = None) -> str:
    meter = METER.get()
    meter.build(shown_size(value))
    if not indent:
        made = json.dumps(value, ensure_ascii=False)
        meter.build(len(made))
        return made
    parts, size = [], 0
    for part in walked(json.JSONEncoder(ensure_ascii=False, indent=min(int(indent), 8)).iterencode(value)):
        parts.append(part)
        size += len(part)
        if size > MOST_OUTPUT:
            break
    meter.build(size)
    return "".join(parts)


def _replace(value: Any, old: str, new: str) -> str:
    given, old, new = shown(value), shown(old), shown(new)
    METER.get().build(len(given) + (given.count(old) if old else len(given) + 1) * len(new))
    return given.replace(old, new)


def _join(value: Any, separator: str = "", attribute: Any = None) -> str:
    texts: list[str] = []
    meter, between, parts = METER.get(), shown(separator), _parts(attribute)
    total = 0
    for item in walked(value):
        found = item
        for part in parts:
            found = found.get(part, "") if isinstance(found, Mapping) else ""
        texts.append(shown(found))
        meter.add(len(between))
        total += len(texts[-1]) + len(between)
        if total > MOST_OUTPUT:
            raise TooMuch(f"it builds more than {MOST_OUTPUT:,} characters")
    meter.build(total)
    return between.join(texts)


def _indent(value: Any, width: int = 4, first: bool = False) -> str:
    given = shown(value)
    pad = " " * min(max(int(width), 0), 64)
    METER.get().build(len(given) + len(pad) * (given.count("\n") + 1))
    lines = given.split("\n")
    return "\n".join(line if (i == 0 and not first) or not line else pad + line for i, line in enumerate(lines))


def _escape(value: Any) -> str:
    given = shown(value)
    METER.get().build(len(given) * 6)
    return html.escape(given)


WITH_ENVIRONMENT: Final[Mapping[str, Callable[..., Any]]] = {
    "sort": _sort,
    "dictsort": _dictsort,
    "max": _extreme(max, "max"),
    "min": _extreme(min, "min"),
    "unique": _unique,
    "sum": _sum,
}
OURS: Final[Mapping[str, Callable[..., Any]]] = {
    "list": _list,
    "reverse": _reverse,
    "items": _items,
    "int": _int,
    "float": _float,
    "string": shown,
    "wordcount": _wordcount,
    "tojson": _tojson,
    "replace": _replace,
    "join": _join,
    "indent": _indent,
    "e": _escape,
    "escape": _escape,
}
NAMES: Final = frozenset({*SMALL, *TEXT, *WALKING, "round", *WITH_ENVIRONMENT, *OURS})

"""Comparisons, tests, slices and literals of templates, each bounded. Knows nothing of the template engine."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from interplay.core.flows.template_meter import METER, MOST_TURNS, MOST_WEIGHED, TooMuch, length, listed, weight
from interplay.core.flows.template_text import shown

_SIMPLE: Final = (int, float, bool, type(None))
_PAIRS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}
_NAMES: Final = {
    **{"==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne"},
    **{">": "gt", "gt": "gt", "greaterthan": "gt", "ge": "gteq", ">=": "gteq"},
    **{"<": "lt", "lt": "lt", "lessthan": "lt", "<=": "lteq", "le": "lteq"},
}


def compare(left: Any, *rest: Any) -> bool:
    """`a < b <= c`, and `a in b`: `rest` are the operators, each with what stands behind it."""
    for name, right in zip(rest[::2], rest[1::2], strict=True):
        within = name in ("in", "notin")
        holds = contains(left, right) is (name == "in") if within else _compared(name, left, right)
        if not holds:
            return False
        left = right
    return True


def _compared(name: str, left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        METER.get().work(min(len(left), len(right)) // 256)
    elif not isinstance(left, _SIMPLE) and not isinstance(right, _SIMPLE):
        METER.get().work(_bounded(min(weight(left), weight(right))))
    return bool(_PAIRS[name](left, right))


def _bounded(values: int) -> int:
    if values > MOST_WEIGHED:
        raise TooMuch(f"it compares more than {MOST_WEIGHED:,} values at once")
    return values


def contains(item: Any, where: Any) -> bool:
    """`item in where`."""
    meter = METER.get()
    if isinstance(where, str):
        meter.work((length(item) + len(where)) // 256)
    elif isinstance(where, list | tuple):
        each = 1 if isinstance(item, _SIMPLE) else _bounded(weight(item))
        meter.work(len(where) * each)
    elif isinstance(where, range):
        meter.work(1 if isinstance(item, int) else len(where))
    elif not isinstance(where, Mapping) and hasattr(where, "__next__"):
        return contains(item, listed(where, "in"))
    return bool(item in where)


def sliced(value: Any, start: Any, stop: Any, step: Any) -> Any:
    """`value[start:stop:step]`."""
    if isinstance(value, str | list | tuple):
        METER.get().build(len(range(*slice(start, stop, step).indices(len(value)))))
    return value[start:stop:step]


def key(value: Any) -> Any:
    """What stands before the colon in `{a: b}`."""
    if value is not None and not isinstance(value, str | int | float):
        raise TooMuch("only texts and numbers can be keys")
    return value


def added(left: Any, right: Any) -> None:
    """Counts what `left + right` will build."""
    METER.get().build(length(left) + length(right))


def numbers(*args: int) -> range:
    """`range()`."""
    made = range(*args)
    if len(made) > MOST_TURNS:
        raise TooMuch(f"range has more than {MOST_TURNS:,} numbers")
    return made


def _test(name: str) -> Callable[[Any, Any], bool]:
    return lambda value, other: _compared(name, value, other)


def _divided(value: Any, by: Any) -> int:
    if not isinstance(value, int | float) or not isinstance(by, int | float):
        raise TooMuch("odd, even and divisibleby are for numbers")
    return int(value % by)


TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    "odd": lambda value: _divided(value, 2) == 1,
    "even": lambda value: _divided(value, 2) == 0,
    "divisibleby": lambda value, by: _divided(value, by) == 0,
    "lower": lambda value: shown(value).islower(),
    "upper": lambda value: shown(value).isupper(),
    "in": contains,
    **{word: _test(name) for word, name in _NAMES.items()},
}

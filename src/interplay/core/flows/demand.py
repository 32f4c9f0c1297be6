"""How much there is to do to evaluate a value, told before it is evaluated and at next to no cost.

In values that are looked at: one takes about a microsecond. Whoever shares a thread with others lets
another thread do what is much. A guess: what a template says can take much longer than its data tells.
"""

from __future__ import annotations

from typing import Any, Final

from interplay.core.flows.expressions import Comprehension, Expression
from interplay.core.flows.plan import ABSENT, Evaluable, Names
from interplay.core.flows.values import Interpolated, Literal, Record, Reference, Rendered, Sequence

ENOUGH: Final = 5_000  # nothing is counted beyond
_TEXT: Final = 200  # characters that are as much as one value
_ONE: Final = frozenset((int, float, bool))
_ITEM: Final = 10  # what an item costs map and filter by itself


def demand(value: Evaluable, names: Names) -> int:
    """`ENOUGH` or more for what may be much."""
    if isinstance(value, Expression):  # the usual ones first: this is asked for every value of every step
        return _of_expression(value, names)
    if isinstance(value, (Literal, Reference)):
        return 0
    if isinstance(value, Record):
        return _of_fields(value, names)
    if isinstance(value, Sequence):
        return _several(value.items, names)
    if isinstance(value, Interpolated):
        return _several(value.parts, names)
    if isinstance(value, Comprehension):
        items = sum(amount(part) for part in value.read(names))
        return items * (_ITEM + sum(amount(part) for part in value.read_each(names)))
    if isinstance(value, Rendered):
        return _of_template(value, names)
    return 0  # of a test, of another package


def _of_expression(value: Expression, names: Names) -> int:
    if value.slight:
        return 1
    found = 0
    for part in value.read(names):
        found += 1 if part.__class__ in _ONE else amount(part)
    return found


def _of_fields(value: Record, names: Names) -> int:
    found = 0
    for _, part in value.fields:
        found += demand(part, names)
        if found >= ENOUGH:
            break
    return found


def _several(values: Any, names: Names) -> int:
    found = 0
    for value in values:
        found += demand(value, names)
        if found >= ENOUGH:
            break
    return found


def _of_template(value: Rendered, names: Names) -> int:
    """Each loop in a loop goes through the data again."""
    template = value.template
    if template.counts:
        return ENOUGH
    found = template.parts + _several(value.within.values(), names)
    for root in value.roots:
        found += amount(names[root])
        if found >= ENOUGH:
            return found
    return min(ENOUGH, int(found ** max(1, template.depth)))


def amount(value: Any) -> int:
    """How many values there are in a value, at least; `ENOUGH` and more are not told apart."""
    if isinstance(value, str):
        return 1 + len(value) // _TEXT
    if not isinstance(value, (dict, list)):
        return int(value is not ABSENT)
    found = 0
    todo: list[Any] = [value]
    while todo and found < ENOUGH:
        item = todo.pop()
        if isinstance(item, str):
            found += 1 + len(item) // _TEXT
            continue
        found += 1
        if isinstance(item, dict):
            if len(item) >= ENOUGH:
                return ENOUGH
            found += sum(map(len, item)) // _TEXT
            todo.extend(item.values())
        elif isinstance(item, list):
            if len(item) >= ENOUGH:
                return ENOUGH
            todo.extend(item)
    return found

"""Which of a run's inputs a step can see a difference in: what a fork with other inputs need not do again.

Only what is certain counts. `inputs` as a whole, `inputs[name]`, a template that walks through all of them:
whoever reads them so reads every one (None).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from interplay.core.flows.compile import composite_parts
from interplay.core.flows.expression_text import blank, dotted
from interplay.core.flows.expressions import Comprehension, Expression
from interplay.core.flows.plan import Evaluable, StepPlan
from interplay.core.flows.values import Interpolated, Record, Reference, Rendered, Sequence

Inputs = frozenset[str] | None  # None: any of them
_NONE: Final[frozenset[str]] = frozenset()
_NAMED: Final = re.compile(r"(?<!\w)inputs(?!\w)")


def inputs_read(step: StepPlan) -> Inputs:
    """The names of the inputs that a step reads, in its fields, its policies and the steps inside it."""
    policies = (step.when, step.limit_key, step.fallback)
    return _all([*step.values.values(), *(p for p in policies if p is not None), *composite_parts(step.composite)])


def _all(parts: Iterable[Evaluable]) -> Inputs:
    found: frozenset[str] = _NONE
    for part in parts:
        names = _of(part)
        if names is None:
            return None
        found |= names
    return found


def _of(part: Evaluable) -> Inputs:
    if "inputs" not in part.roots:
        return _NONE
    match part:
        case Reference(parts=(str() as name, *_)):
            return frozenset({name})
        case Expression() | Comprehension():
            return _of_expression(part.source)
        case Interpolated():
            return _all(part.parts)
        case Sequence():
            return _all(part.items)
        case Record():
            return _all(value for _, value in part.fields)
        case Rendered():
            return _of_template(part)
        case _:
            return None


def _of_expression(source: str) -> Inputs:
    """Names after `inputs.`; a mention of `inputs` in any other form is one of them all."""
    bare = blank(source)
    named = [fields[0] for root, fields, _ in dotted(bare) if root == "inputs" and fields]
    return frozenset(named) if len(named) == len(_NAMED.findall(bare)) else None


def _of_template(rendered: Rendered) -> Inputs:
    given = _all(rendered.within.values())
    if given is None or "inputs" in rendered.within:
        return given
    direct = [path for path in rendered.template.reads if path[0] == "inputs"]
    return given | {path[1] for path in direct} if all(len(path) > 1 for path in direct) else None

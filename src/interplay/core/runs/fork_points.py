"""Where inside a run a fork begins: scope by scope from the top, what lies before it and beside it.

Before and beside it are: other items of a map, earlier turns of a loop or an agent, and in the scope of the
point what does not depend on it. The rest belongs to what runs again: a later turn saw the carry of this one,
and alternatives (an ensemble, a cascade, a race) are weighed together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from interplay.core.errors import NotFound
from interplay.core.flows.plan import AgentPlan, BranchesPlan, Composite, LoopPlan, MapPlan, Plan, ScopePlan
from interplay.core.runs.events import Event, StepExpanded, StepProgressed

_TOP: Final = re.compile(r"[.\[]")
_SEGMENT: Final = re.compile(r"([^.\[]+)(?:\[(\d{1,9})\])?(?:\.(.+))?", re.DOTALL)
_MOST_NEAR: Final = 200  # keys that a wrong one is compared with


def top_of(key: str) -> str:
    return _TOP.split(key, maxsplit=1)[0]


def closure(scope: ScopePlan, seeds: set[str]) -> set[str]:
    """The steps and all that depend on them."""
    rerun, todo = set(seeds), list(seeds)
    while todo:
        for dependent in scope.dependents.get(todo.pop(), ()):
            if dependent not in rerun:
                rerun.add(dependent)
                todo.append(dependent)
    return rerun


@dataclass(frozen=True, slots=True)
class _Level:
    """One scope on the way: the step in it, the turn or item inside that, and what runs again beside it.

    `again` is None where everything in the scope does. `ordered`: later turns follow from earlier ones.
    """

    step: str
    index: int | None
    again: frozenset[str] | None
    ordered: bool


class ForkPoint:
    def __init__(self, levels: list[_Level]) -> None:
        self._levels = levels

    @classmethod
    def at(cls, from_step: str, plan: Plan, events: list[Event], pinned: Mapping[str, Plan]) -> ForkPoint:
        """Raises NotFound for a step inside another that the run does not have."""
        keys = {event.step_key for event in events if event.step_key is not None}
        versions = {e.step_key: e.body.version for e in events if isinstance(e.body, StepExpanded)}
        levels: list[_Level] = []
        scope: ScopePlan | None = plan.root
        beside = True
        before, rest = "", from_step
        while rest:
            name, index, rest = _split(rest)
            around = before + name
            before = around + (f"[{index}]." if index is not None else ".")
            step = scope.steps.get(name) if scope is not None else None
            if before != from_step + "." or index is not None:  # the point lies inside
                there = any(key.startswith(before) for key in keys)
            else:
                there = step is not None or around in keys  # a call of an agent is known to the journal only
            if not there:
                near = islice((key for key in keys if key.startswith(levels[0].step if levels else name)), _MOST_NEAR)
                raise NotFound.named("step", from_step, near)
            again = frozenset(closure(scope, {name})) if scope is not None and beside else None
            composite = step.composite if step is not None else None
            levels.append(_Level(name, index, again, isinstance(composite, LoopPlan | AgentPlan)))
            scope = _inside(composite, pinned.get(versions.get(around, "")))
            beside = not isinstance(composite, BranchesPlan)
        return cls(levels)

    def keeps(self, event: Event) -> bool:
        """Whether the new run begins with this fact of a step in the scopes around the point."""
        rest = event.step_key or ""
        for depth, level in enumerate(self._levels, 1):
            name, index, rest = _split(rest)
            if name != level.step:
                return level.again is not None and name not in level.again
            if not rest:
                return self._keeps_around(event, level, depth == len(self._levels))
            if index != level.index and index is not None and level.index is not None:
                return index < level.index or not level.ordered
        return False

    def _keeps_around(self, event: Event, level: _Level, last: bool) -> bool:
        """Of a composing step around the point: what it was, and how far it had come."""
        body = event.body
        if isinstance(body, StepProgressed):
            return level.index is not None and body.index < level.index
        return isinstance(body, StepExpanded) and not last


def _split(key: str) -> tuple[str, int | None, str]:
    """`pages[3].get.x` as `pages`, 3, `get.x`; what is no key is the name of no step."""
    found = _SEGMENT.fullmatch(key)
    if found is None:
        return key, None, ""
    return found[1], int(found[2]) if found[2] is not None else None, found[3] or ""


def _inside(composite: Composite | None, pinned: Plan | None) -> ScopePlan | None:
    """The plan of the scope in a composing step; None where only the run knows its steps."""
    if isinstance(composite, MapPlan | LoopPlan | BranchesPlan):
        return composite.body
    return pinned.root if pinned is not None else None

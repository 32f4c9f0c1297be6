"""Fork: which steps of a run are kept and which run again, and the journal that the new run begins with.

Re-run are the step that is forked from, whatever changed (a step that differs between the versions, a
step that reads an input that differs), everything that depends on these, and the composing steps around
them. Kept results are journaled anew as `via: fork`, without usage: they are not paid again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interplay.core.errors import NotFound
from interplay.core.flows.plan import Plan, ScopePlan
from interplay.core.models.usage import Usage
from interplay.core.runs.events import (
    Event,
    StepExpanded,
    StepFailed,
    StepProgressed,
    StepSkipped,
    StepSucceeded,
)

_TOP = re.compile(r"[.\[]")


@dataclass(slots=True)
class ForkPlan:
    """`rerun`: top-level steps that run again. `expected`: what they used and took the last time."""

    rerun: list[str]
    kept: list[str]
    journal: list[Event] = field(default_factory=list)
    expected_usage: Usage = field(default_factory=Usage)
    expected_seconds: float = 0.0


def plan_fork(
    old: Plan,
    new: Plan,
    events: Iterable[Event],
    from_step: str,
    inputs: tuple[Mapping[str, Any], Mapping[str, Any]],
) -> ForkPlan:
    """`inputs` are the old run's and the new one's. NotFound when there is no such step."""
    top = _top_of(from_step)
    if top not in new.root.steps:
        raise NotFound.named("step", from_step, new.root.steps)
    events = list(events)
    rerun = _closure(new.root, {top} | _changed_steps(old, new) | _readers(new.root, *inputs))
    inner = from_step if from_step != top and _changed_nothing_inside(old, new, top) else None
    result = ForkPlan(sorted(rerun), sorted(set(new.root.steps) - rerun))
    for event in events:
        if event.step_key is None:
            continue
        if _is_kept(event.step_key, rerun, top, inner):
            kept = _kept(event)
            if kept is not None:
                result.journal.append(kept)
        else:
            _expect(result, event)
    return result


def _top_of(key: str) -> str:
    return _TOP.split(key, maxsplit=1)[0]


def _changed_steps(old: Plan, new: Plan) -> set[str]:
    before, after = old.flow.steps, new.flow.steps
    return {name for name, step in after.items() if before.get(name) != step}


def _changed_nothing_inside(old: Plan, new: Plan, top: str) -> bool:
    return old.flow.steps.get(top) == new.flow.steps.get(top)


def _readers(scope: ScopePlan, before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Steps that see the inputs, when any input differs: what exactly they read is not looked at."""
    if dict(before) == dict(after):
        return set()
    return {step.id for step in scope.steps.values() if step.reads_inputs}


def _closure(scope: ScopePlan, seeds: set[str]) -> set[str]:
    rerun, todo = set(seeds), list(seeds)
    while todo:
        for dependent in scope.dependents.get(todo.pop(), ()):
            if dependent not in rerun:
                rerun.add(dependent)
                todo.append(dependent)
    return rerun


def _is_kept(key: str, rerun: set[str], top: str, inner: str | None) -> bool:
    """With an inner fork point, what lies beside it in the same composing step is kept."""
    if _top_of(key) not in rerun:
        return True
    if inner is None or _top_of(key) != top or key == top:
        return False
    around = inner.rpartition(".")[0]
    return not (inner.startswith(key) or key.startswith(around + "."))


def _kept(event: Event) -> Event | None:
    body = event.body
    if isinstance(body, StepSucceeded):
        detail = {k: v for k, v in (body.detail or {}).items() if k != "signals"}
        body = msgspec.structs.replace(body, usage=None, via="fork", detail=detail or None)
        return Event(event.seq, event.step_key, event.attempt, body)
    if isinstance(body, StepSkipped | StepExpanded | StepProgressed) or (
        isinstance(body, StepFailed) and body.tolerated
    ):
        return event
    return None


def _expect(result: ForkPlan, event: Event) -> None:
    if isinstance(event.body, StepSucceeded | StepFailed):
        result.expected_seconds += event.body.seconds if event.body.usage is not None else 0.0
        if event.body.usage is not None:
            result.expected_usage = result.expected_usage + event.body.usage

"""Fork: which steps of a run are kept and which run again, and the journal that the new run begins with.

Re-run are the step that is forked from, whatever changed (a step that differs between the versions, a
step that reads an input that differs), everything that depends on these, and the composing steps around
them. Kept results are journaled anew as `via: fork`, without usage: they are not paid again. What belongs
to a step that the new version does not have is left behind. Forked inside a composing step, that holds in
each scope on the way (`fork_points.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from interplay.core.errors import NotFound
from interplay.core.flows.plan import Plan, ScopePlan
from interplay.core.flows.reads import inputs_read
from interplay.core.models.usage import Usage
from interplay.core.runs.events import (
    Event,
    StepExpanded,
    StepFailed,
    StepProgressed,
    StepSkipped,
    StepSucceeded,
)
from interplay.core.runs.fork_points import ForkPoint, closure, top_of


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
    pinned: Mapping[str, Plan] | None = None,
) -> ForkPlan:
    """`inputs` are the old run's and the new one's; `pinned` holds the versions that its `flow` steps pinned.

    NotFound when there is no such step, at the top or inside.
    """
    top = top_of(from_step)
    if top not in new.root.steps:
        raise NotFound.named("step", from_step, new.root.steps)
    events = list(events)
    point = ForkPoint.at(from_step, old if top in old.root.steps else new, events, pinned or {})
    changed = closure(new.root, _changed_steps(old, new) | _readers(new.root, *inputs))
    rerun = changed | closure(new.root, {top})
    inside = point if top not in changed else None
    result = ForkPlan(sorted(rerun), sorted(set(new.root.steps) - rerun))
    for event in events:
        if event.step_key is None or top_of(event.step_key) not in new.root.steps:
            continue
        if top_of(event.step_key) not in rerun or (inside is not None and inside.keeps(event)):
            kept = _kept(event)
            if kept is not None:
                result.journal.append(kept)
        else:
            _expect(result, event)
    return result


def _changed_steps(old: Plan, new: Plan) -> set[str]:
    before, after = old.flow.steps, new.flow.steps
    return {name for name, step in after.items() if before.get(name) != step}


def _readers(scope: ScopePlan, before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    """Steps that read an input which differs."""
    names = {name for name in {*before, *after} if _written(before, name) != _written(after, name)}
    if not names:
        return set()
    reads = {step.id: inputs_read(step) for step in scope.steps.values()}
    return {key for key, read in reads.items() if read is None or read & names}


def _written(inputs: Mapping[str, Any], name: str) -> bytes | None:
    """An input as bytes: 1, 1.0 and true are not the same to an expression."""
    return msgspec.json.encode(inputs[name], order="deterministic") if name in inputs else None


def _kept(event: Event) -> Event | None:
    body = event.body
    if isinstance(body, StepSucceeded):
        detail = {k: v for k, v in (body.detail or {}).items() if k != "signals"}
        body = msgspec.structs.replace(body, usage=None, via="fork", detail=detail or None)
        return Event(event.seq, event.step_key, event.attempt, body)
    if isinstance(body, StepProgressed):
        return msgspec.structs.replace(event, body=msgspec.structs.replace(body, spent=None))
    if isinstance(body, StepSkipped | StepExpanded) or (isinstance(body, StepFailed) and body.tolerated):
        return event
    return None


def _expect(result: ForkPlan, event: Event) -> None:
    if isinstance(event.body, StepSucceeded | StepFailed):
        result.expected_seconds += event.body.seconds if event.body.usage is not None else 0.0
        if event.body.usage is not None:
            result.expected_usage = result.expected_usage + event.body.usage

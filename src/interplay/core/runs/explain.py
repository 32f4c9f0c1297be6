"""Why a step stands as it does, in a sentence: back along the steps that it needs to the one that decides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from interplay.core.errors import NotFound
from interplay.core.flows.plan import Plan, ScopePlan, StepPlan
from interplay.core.runs.events import (
    Body,
    Event,
    RunDied,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepSucceeded,
    StepWaiting,
)
from interplay.core.runs.waiting import in_words

_MOST = 50
_SETTLED = StepSkipped | StepFailed | StepCancelled | StepSucceeded


@dataclass(slots=True)
class _Journal:
    """The last that is known of each step, and how the run ended, if it has."""

    last: dict[str, Body]
    begun: set[str]  # composing steps in which something happened
    end: str | None


def explain(plan: Plan, events: Iterable[Event], key: str) -> list[str]:
    """One sentence for each link of the chain. Raises NotFound for a step that the flow does not have."""
    known = _read(events)
    step = _find(plan.root, key)
    if step is None and key not in known.last:
        raise NotFound.named("step", key, plan.root.steps)
    prefix = key[: len(key) - len(key.rsplit(".", 1)[-1])]
    sentences: list[str] = []
    while key and len(sentences) < _MOST:
        sentence, because = _one(key, known, _find(plan.root, key))
        sentences.append(sentence)
        key = prefix + because if because else ""
    return sentences


def _read(events: Iterable[Event]) -> _Journal:
    known = _Journal({}, set(), None)
    for event in events:
        if event.step_key is None:
            dead = isinstance(event.body, RunDied)
            known.end = "dead" if dead else event.body.kind.wire_name[4:] if event.body.kind.terminal else None
            continue
        if isinstance(event.body, _SETTLED | StepWaiting | StepRetrying):
            known.last[event.step_key] = event.body
        known.begun.update(event.step_key[:end] for end, letter in enumerate(event.step_key) if letter in ".[")
    return known


def _one(key: str, known: _Journal, plan: StepPlan | None) -> tuple[str, str | None]:
    match known.last.get(key):
        case StepSkipped(reason="when"):
            condition = plan.policy.when if plan is not None else None
            return f"{key} was skipped: its condition `{condition}` was false.", None
        case StepSkipped(because=because):
            return f"{key} was skipped: it needs {because}, which has no value.", because
        case StepFailed(failure=failure, tolerated=tolerated):
            end = "; the flow goes on without it" if tolerated else ""
            return f"{key} failed ({failure.code}): {failure.detail}{end}", None
        case StepCancelled(reason=reason):
            return f"{key} was cancelled: {reason}.", None
        case StepSucceeded():
            return f"{key} was not skipped: it succeeded.", None
        case _ if known.end is not None:
            return f"{key} did not end: the run is {known.end}.", None
        case StepWaiting() as wait:
            return f"{key} waits for {in_words(wait)}.", None
        case StepRetrying(failure=failure):
            return f"{key} is tried again: the attempt before failed ({failure.code}): {failure.detail}", None
        case _:
            return _unsettled(key, known, plan)


def _unsettled(key: str, known: _Journal, plan: StepPlan | None) -> tuple[str, str | None]:
    """Nothing is known of the step itself: the journal has results, not beginnings."""
    inside = [(inner, body) for inner, body in known.last.items() if inner.startswith((f"{key}.", f"{key}["))]
    for inner, body in inside:
        if isinstance(body, StepWaiting):
            return f"{key} is under way: inside it, {inner} waits for {in_words(body)}.", None
    if key in known.begun:
        return f"{key} is under way.", None
    missing = sorted(need for need in plan.needs if not isinstance(known.last.get(need), _SETTLED)) if plan else []
    if missing:
        return f"{key} has not run yet: it needs {', '.join(missing)}.", missing[0]
    return f"{key} is under way, or about to be: everything that it needs is there.", None


def _find(scope: ScopePlan, key: str) -> StepPlan | None:
    """The plan of a top-level step; steps inside others explain themselves by their events."""
    return scope.steps.get(key)

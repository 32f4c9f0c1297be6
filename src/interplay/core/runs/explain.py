"""Why a step was skipped, in a sentence: back along the steps that it needs to the condition that said no."""

from __future__ import annotations

from collections.abc import Iterable

from interplay.core.errors import NotFound
from interplay.core.flows.plan import Plan, ScopePlan, StepPlan
from interplay.core.runs.events import Event, StepCancelled, StepFailed, StepSkipped, StepSucceeded

_MOST = 50


def explain(plan: Plan, events: Iterable[Event], key: str) -> list[str]:
    """One sentence for each link of the chain. Raises NotFound for a step that the flow does not have."""
    settled = {
        e.step_key: e.body
        for e in events
        if isinstance(e.body, StepSkipped | StepFailed | StepCancelled | StepSucceeded)
    }
    step = _find(plan.root, key)
    if step is None and key not in settled:
        raise NotFound.named("step", key, plan.root.steps)
    prefix = key[: len(key) - len(key.rsplit(".", 1)[-1])]
    sentences: list[str] = []
    while key and len(sentences) < _MOST:
        sentence, because = _one(key, settled.get(key), _find(plan.root, key))
        sentences.append(sentence)
        key = prefix + because if because else ""
    return sentences


def _one(key: str, body: object, plan: StepPlan | None) -> tuple[str, str | None]:
    match body:
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
        case _:
            needs = ", ".join(sorted(plan.needs)) if plan is not None and plan.needs else "nothing"
            return f"{key} has not run yet; it needs {needs}.", None


def _find(scope: ScopePlan, key: str) -> StepPlan | None:
    """The plan of a top-level step; steps inside others explain themselves by their events."""
    return scope.steps.get(key)

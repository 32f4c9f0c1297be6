"""What people decided about an approval, and what to tell whoever comes after them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interplay.core.runs.events import (
    Body,
    Event,
    StepCancelled,
    StepFailed,
    StepRetrying,
    StepSucceeded,
    StepWaiting,
)

Deciders = dict[str, Mapping[str, Any]]  # who → the decision as it was sent


def verdict(decisions: Iterable[Any], detail: Mapping[str, Any] | None) -> tuple[str, Deciders] | None:
    """The decision of an approval and who made it; None while more are needed. In the order they came.

    `detail` is that of the wait: one rejection rejects, and `quorum` different people approve. What is no decision,
    or is one of somebody whom `who` does not name, counts for nothing.
    """
    who = (detail or {}).get("who")
    approved: Deciders = {}
    for decision in decisions:
        if not isinstance(decision, Mapping) or decision.get("decision") not in ("approve", "reject"):
            continue
        by = str(decision.get("by") or "")
        if who and by not in who:
            continue
        if decision.get("decision") == "reject":
            return "reject", {by: decision}
        approved.setdefault(by, decision)
        if len(approved) >= int((detail or {}).get("quorum", 1)):
            return "approve", approved
    return None


def end_of_approval(events: Iterable[Event], key: str) -> Body | None:
    """How the last approval that the step waited for ended; None when it waits still, or never did."""
    end: Body | None = None
    waited = waits = False
    for event in events:
        if event.step_key == key and isinstance(event.body, StepWaiting):
            waited = waits = event.body.what == "approval"
        elif event.step_key == key and waits:
            end, waits = event.body, False
    return end if waited and not waits else None


def told(end: Body) -> str:
    """A sentence about how an approval ended."""
    match end:
        case StepSucceeded(via="decision", output=dict() as output):
            return f"{output.get('by') or 'Somebody'} decided already: {output.get('decision')}."
        case StepSucceeded(via="timer", output=dict() as output):
            return f"Nobody decided in time, so it ended with {output.get('decision')}."
        case StepRetrying():
            return "It was approved already, and the effect is under way again."
        case StepFailed(failure=failure):
            return f"It is over: {failure.detail.rstrip('.')}."
        case StepCancelled(reason=reason):
            return f"It is over: the step was cancelled ({reason})."
        case _:
            return "It is over."


def is_of(end: Body, decision: str, by: str) -> bool:
    """Whether this person's same decision is part of how it ended."""
    output = end.output if isinstance(end, StepSucceeded) and end.via == "decision" else None
    return isinstance(output, dict) and output.get("decision") == decision and by in str(output.get("by")).split(", ")

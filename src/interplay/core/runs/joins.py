"""When a step may start, given how the steps that it needs stand."""

from __future__ import annotations

from typing import Literal

from interplay.core.flows.plan import StepPlan
from interplay.core.runs.state import StepState
from interplay.core.runs.status import StepStatus

Verdict = Literal["wait", "go", "skip", "fail"]


def judge(plan: StepPlan, needs: list[StepState]) -> tuple[Verdict, str | None]:
    """What a pending step does now, and the id of the step that is the reason (for skip and fail).

    `all` needs all, but for those whose absence every reference tolerates. `any` needs one and waits
    for all. `first` goes at the first success, `quorum(n)` at the n-th. `all_settled` always goes.
    """
    mode = plan.policy.join.mode
    if mode == "all":
        return _all(plan, needs)
    succeeded = sum(1 for need in needs if need.status is StepStatus.SUCCEEDED)
    unsettled = sum(1 for need in needs if not need.status.settled)
    if mode == "all_settled" or not needs:
        return ("wait" if unsettled else "go"), None
    wanted = plan.policy.join.quorum if mode == "quorum" else 1
    enough = succeeded >= wanted
    if mode == "any":
        if unsettled:
            return "wait", None
    elif enough:
        return "go", None
    elif succeeded + unsettled >= wanted:
        return "wait", None
    return ("go", None) if enough else _not_enough(needs)


def _all(plan: StepPlan, needs: list[StepState]) -> tuple[Verdict, str | None]:
    verdict: Verdict = "go"
    for need in needs:
        if not need.status.settled:
            verdict = "wait"
        elif need.absent and need.plan.id not in plan.tolerates:
            return "skip", need.plan.id
    return verdict, None


def _not_enough(needs: list[StepState]) -> tuple[Verdict, str | None]:
    for need in needs:
        if need.status is StepStatus.FAILED:
            return "fail", need.plan.id
    absent = next((need for need in needs if need.absent), None)
    return "skip", absent.plan.id if absent else None


def accepts_absence(dependent: StepPlan, need: str) -> bool:
    """Whether a step can go on without `need`: then a failure of `need` does not fail the run."""
    return dependent.policy.join.mode != "all" or need in dependent.tolerates

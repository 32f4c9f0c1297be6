"""`ensemble`, `cascade`, `race`: alternatives that do not see each other, and one result of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.plan import ABSENT, BranchesPlan
from interplay.core.runs import combine
from interplay.core.runs.composites.outcome import succeed
from interplay.core.runs.state import Composite, ScopeNames, ScopeState, StepState
from interplay.core.runs.status import StepStatus

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine

JUDGE = "judge"


def open_branches(machine: RunMachine, step: StepState, plan: BranchesPlan) -> None:
    step.inner = Composite()
    names = ScopeNames(step.scope.names, {})
    step.inner.open[0] = machine.open_scope(plan.body, f"{step.key}.", names, step)


def may_start(plan: BranchesPlan, inner: Composite, step: StepState) -> bool:
    if plan.kind != "cascade":
        return True
    return list(plan.body.steps).index(step.plan.id) <= inner.turn


def look_at(machine: RunMachine, step: StepState, plan: BranchesPlan, now: float) -> None:
    inner = step.inner
    assert inner is not None
    scope = inner.open[0]
    if plan.kind == "race":
        _race(machine, step, scope, now)
    elif plan.kind == "cascade":
        _cascade(machine, step, plan, scope, now)
    else:
        _ensemble(machine, step, plan, scope, now)


def _race(machine: RunMachine, step: StepState, scope: ScopeState, now: float) -> None:
    assert step.inner is not None
    if step.inner.finished:
        first = step.inner.finished[0]
        succeed(machine, step, {"winner": first.plan.id, "output": first.output})
    elif not scope.unsettled:
        machine.fail(step, _all_failed(scope, "all_failed", "None of the alternatives succeeded"), now)


def _cascade(machine: RunMachine, step: StepState, plan: BranchesPlan, scope: ScopeState, now: float) -> None:
    inner = step.inner
    assert inner is not None
    tiers = [scope.steps[tier] for tier in plan.body.steps]
    while inner.turn < len(tiers) and tiers[inner.turn].status.settled:
        tier = tiers[inner.turn]
        last = inner.turn == len(tiers) - 1
        if tier.status is StepStatus.SUCCEEDED and (last or _accepts(plan, scope, tier.output)):
            succeed(machine, step, _tier_result(plan, tier))
            return
        inner.turn += 1
        if not last:
            machine.mark(tiers[inner.turn])
    if inner.turn == len(tiers):
        taken = next((tier for tier in reversed(tiers) if tier.status is StepStatus.SUCCEEDED), None)
        if taken is not None:
            succeed(machine, step, _tier_result(plan, taken))
        else:
            machine.fail(step, _all_failed(scope, "all_failed", "No tier succeeded"), now)


def _accepts(plan: BranchesPlan, scope: ScopeState, output: Any) -> bool:
    """Whether an answer is good enough; one that the condition cannot be asked about is not."""
    if plan.accept is None:
        return True
    fields = output if isinstance(output, dict) else {}
    own = {name: fields.get(name) for name in plan.accept.roots if name in fields}
    missing = {
        name: ABSENT for name, value in own.items() if value is None
    }  # no logprobs, no confidence: absent rather than null
    try:
        return plan.accept.evaluate(ScopeNames(scope.names, own | missing)) is True
    except StepFailure:
        return False


def _tier_result(plan: BranchesPlan, tier: StepState) -> dict[str, Any]:
    result = {"tier": tier.plan.id, "output": tier.output}
    chats = all(branch.kind == "chat" for branch in plan.body.steps.values())
    return {**tier.output, **result} if chats and isinstance(tier.output, dict) else result


def _ensemble(machine: RunMachine, step: StepState, plan: BranchesPlan, scope: ScopeState, now: float) -> None:
    inner = step.inner
    assert inner is not None
    if inner.judging is not None:
        _judged(machine, step, plan, scope, now)
        return
    branches = [scope.steps[branch] for branch in plan.body.steps]
    answers = {b.plan.id: answer_of(b.output, plan.answer) for b in branches if b.status is StepStatus.SUCCEEDED}
    wanted = plan.quorum or 1
    if scope.unsettled:
        early = plan.stop_early and plan.combine == "vote" and len(answers) >= wanted
        if not (early and combine.vote_is_settled(answers, scope.unsettled)):
            return
    elif len(answers) < wanted:
        code = "no_quorum" if plan.quorum else "all_failed"
        text = f"{len(answers)} of {len(branches)} answered, and {wanted} were needed"
        machine.fail(step, _all_failed(scope, code, text), now)
        return
    if plan.combine == "judge" and len(answers) > 1:
        scope.names["answers"] = answers
        machine.mark(add_judge(machine, step, plan, scope))
        return
    try:
        winner, agreement = _COMBINE[plan.combine](answers)
    except TypeError as wrong:
        machine.fail(step, Failure("invalid_output", f"The answers cannot be combined: {wrong}."), now)
        return
    succeed(machine, step, {"winner": winner, "answers": answers, "agreement": agreement})


def add_judge(machine: RunMachine, step: StepState, plan: BranchesPlan, scope: ScopeState) -> StepState:
    """The judge joins the branches' scope once they have all settled."""
    assert plan.judge is not None
    assert step.inner is not None
    if step.inner.judging is None:
        scope.unsettled += 1
        step.inner.judging = machine.add_step(scope, plan.judge, JUDGE, step.stream)
    return step.inner.judging


def _judged(machine: RunMachine, step: StepState, plan: BranchesPlan, scope: ScopeState, now: float) -> None:
    assert step.inner is not None
    judging = step.inner.judging
    assert judging is not None
    if not judging.status.settled:
        return
    if judging.status is not StepStatus.SUCCEEDED:
        failure = judging.failure or Failure("all_failed", "The judge gave no verdict.")
        machine.fail(step, failure, now)
        return
    branches = [scope.steps[branch] for branch in plan.body.steps]
    answers = {b.plan.id: answer_of(b.output, plan.answer) for b in branches if b.status is StepStatus.SUCCEEDED}
    named = _named(judging.output)
    if named not in answers:
        detail = f"The judge named {named!r}, which is none of {', '.join(answers)}."
        machine.fail(step, Failure("invalid_output", detail, judging.key), now)
        return
    _, agreement = combine.vote(answers)
    succeed(machine, step, {"winner": answers[named], "answers": answers, "agreement": agreement})


def _named(output: Any) -> str:
    """The branch that a judge's answer names: `json.winner` where it has a schema, else its text."""
    fields = output if isinstance(output, dict) else {}
    verdict = fields.get("json")
    if isinstance(verdict, dict) and "winner" in verdict:
        return str(verdict["winner"])
    return str(fields.get("text", "")).strip()


def answer_of(output: Any, field: str | None) -> Any:
    """What of a branch's result is combined: the named field, or the one that is its answer by nature."""
    if not isinstance(output, dict):
        return output
    if field is not None:
        return output.get(field)
    for natural in ("label", "json", "text"):
        if output.get(natural) is not None:
            return output[natural]
    return output


def _all_failed(scope: ScopeState, code: str, text: str) -> Failure:
    reasons = [f"{step.plan.id}: {step.failure.detail}" for step in scope.steps.values() if step.failure is not None]
    return Failure(code, f"{text}." + (f" {'; '.join(reasons)}" if reasons else ""))


_COMBINE = {
    "vote": combine.vote,
    "mean": combine.mean,
    "rank_fuse": combine.rank_fuse,
    "concat": combine.concat,
    "judge": combine.vote,
}

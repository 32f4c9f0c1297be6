"""From a key in the journal, such as `pages[3].get`, to the step: opening on the way what it lies in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from interplay.core.flows.plan import AgentPlan, BranchesPlan, LoopPlan, MapPlan
from interplay.core.runs.composites import agent, branches, loop, mapping
from interplay.core.runs.state import ScopeState, StepState
from interplay.core.runs.status import StepStatus

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine

_SEGMENT = re.compile(r"([^.\[]+)(?:\[(\d+)\])?\.(.*)", re.DOTALL)


def reach(machine: RunMachine, key: str) -> StepState | None:
    """The step of a journaled key that is not open yet; None when the scope that it was in is over."""
    scope, rest = machine.root, key
    while scope is not None:
        if rest in scope.steps:
            return scope.steps[rest]
        if rest == branches.JUDGE and scope.owner is not None:
            plan = scope.owner.plan.composite
            if isinstance(plan, BranchesPlan) and plan.judge is not None:
                return branches.add_judge(machine, scope.owner, plan, scope)
        if scope.owner is not None and isinstance(scope.owner.plan.composite, AgentPlan):
            agent.add_calls(machine, scope)
            if rest in scope.steps:
                return scope.steps[rest]
        found = _SEGMENT.fullmatch(rest)
        if found is None or found[1] not in scope.steps:
            return None
        step, rest = scope.steps[found[1]], found[3]
        scope = _inner_scope(machine, step, int(found[2]) if found[2] else 0)
    return None


def _inner_scope(machine: RunMachine, step: StepState, index: int) -> ScopeState | None:
    if step.status.settled:
        return None
    plan = step.plan.composite
    if step.inner is None:
        if not isinstance(plan, MapPlan | LoopPlan | BranchesPlan | AgentPlan):
            return None
        step.status = StepStatus.RUNNING
        machine.open(step)
    assert step.inner is not None
    if isinstance(plan, MapPlan):
        return mapping.open_item(machine, step, plan, index)
    if isinstance(plan, LoopPlan):
        return loop.open_turn(machine, step, plan, index)
    if isinstance(plan, AgentPlan):
        return agent.open_turn(machine, step, index)
    return step.inner.open.get(0)

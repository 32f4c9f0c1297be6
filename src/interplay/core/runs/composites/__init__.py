"""Steps made of steps: how each composing kind opens, goes on, and comes to its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interplay.core.flows.plan import AgentPlan, BranchesPlan, LoopPlan, MapPlan
from interplay.core.runs.composites import agent, branches, loop, mapping, subflow
from interplay.core.runs.composites.paths import reach
from interplay.core.runs.state import ScopeState, StepState
from interplay.core.runs.status import StepStatus

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine

expand = subflow.expand
loop_progressed = loop.progressed
__all__ = ["expand", "inner_settled", "look_at", "loop_progressed", "may_start", "open_composite", "reach"]


def open_composite(machine: RunMachine, step: StepState) -> None:
    """Brings the inner steps to life. Raises StepFailure when an expression it needs cannot be computed."""
    step.started_at = step.started_at if step.started_at is not None else machine.time
    match step.plan.composite:
        case MapPlan() as plan:
            mapping.open_map(machine, step, plan)
        case LoopPlan() as plan:
            loop.open_loop(step, plan)
        case BranchesPlan() as plan:
            branches.open_branches(machine, step, plan)
        case AgentPlan():
            agent.open_agent(step)
        case _:
            raise AssertionError(f"{step.key} opens when its version is known")


def look_at(machine: RunMachine, step: StepState, now: float) -> None:
    """Goes on with a composing step after something inside it settled."""
    match step.plan.composite:
        case MapPlan() as plan:
            mapping.look_at(machine, step, plan, now)
        case LoopPlan() as plan:
            loop.look_at(machine, step, plan, now)
        case BranchesPlan() as plan:
            branches.look_at(machine, step, plan, now)
        case AgentPlan() as plan:
            agent.look_at(machine, step, plan, now)
        case _:
            subflow.look_at(machine, step, now)


def inner_settled(scope: ScopeState, step: StepState) -> None:
    """Notes what happened for the next look; changes nothing else."""
    inner = scope.owner.inner if scope.owner is not None else None
    if inner is None:
        return
    if not inner.touched or inner.touched[-1] is not scope:
        inner.touched.append(scope)
    if step.status is StepStatus.SUCCEEDED:
        inner.finished.append(step)


def may_start(step: StepState) -> bool:
    """A tier of a cascade waits for the ones before it; everything else may start when its needs are met."""
    owner = step.scope.owner
    if owner is None or owner.inner is None or not isinstance(owner.plan.composite, BranchesPlan):
        return True
    return branches.may_start(owner.plan.composite, owner.inner, step)

"""`loop`: the same steps turn after turn, carrying a value on, until it is good or `max` is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interplay.core.failures import StepFailure
from interplay.core.flows.plan import LoopPlan
from interplay.core.runs.composites.outcome import failure_of, forget, succeed
from interplay.core.runs.events import StepProgressed
from interplay.core.runs.state import Composite, ScopeNames, ScopeState, StepState

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine


def open_loop(step: StepState, plan: LoopPlan) -> None:
    step.inner = Composite(carry=plan.carry.evaluate(step.scope.names))


def open_turn(machine: RunMachine, step: StepState, plan: LoopPlan, turn: int) -> ScopeState | None:
    """The scope of a turn; None for one that is over."""
    inner = step.inner
    assert inner is not None
    if turn != inner.turn:
        return None
    if turn not in inner.open:
        names = ScopeNames(step.scope.names, {"carry": inner.carry, "index": turn})
        inner.open[turn] = machine.open_scope(plan.body, f"{step.key}[{turn}].", names, step, turn)
    return inner.open[turn]


def progressed(machine: RunMachine, step: StepState, body: StepProgressed) -> None:
    """A turn is over: its steps are dropped, its carry stays."""
    inner = step.inner
    assert inner is not None
    if body.index < inner.turn:
        return
    for scope in inner.open.values():
        scope.closed = True
        forget(machine, scope)
    inner.open.clear()
    inner.carry, inner.turn = body.value, body.index + 1
    step.usage = body.spent
    machine.mark(step)


def look_at(machine: RunMachine, step: StepState, plan: LoopPlan, now: float) -> None:
    inner = step.inner
    assert inner is not None
    scope = inner.open.get(inner.turn)
    try:
        if scope is None:
            if inner.turn and _is_over(step, plan, inner):
                succeed(machine, step, {"carry": inner.carry, "iterations": inner.turn})
                return
            scope = open_turn(machine, step, plan, inner.turn)
            assert scope is not None
        if scope.failed is not None:
            machine.fail(step, failure_of(scope), now)
        elif not scope.unsettled:
            machine.record(step, StepProgressed(inner.turn, plan.update.evaluate(scope.names), step.usage))
    except StepFailure as refused:
        machine.fail(step, refused.failure, now)


def _is_over(step: StepState, plan: LoopPlan, inner: Composite) -> bool:
    if inner.turn >= plan.max:
        return True
    if plan.until is None:
        return False
    return plan.until.evaluate(ScopeNames(step.scope.names, {"carry": inner.carry, "index": inner.turn})) is True

"""`flow`: another flow's steps inside this run, under the version that was pinned when the step started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.plan import Plan
from interplay.core.runs.composites.outcome import failure_of, succeed
from interplay.core.runs.state import Composite, ScopeNames, StepState

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine

DEEPEST = 16


def expand(machine: RunMachine, step: StepState, plan: Plan) -> None:
    """Opens the other flow with its own inputs; it sees nothing of the flow around it."""
    given = step.plan.values["inputs"].evaluate(step.scope.names) if "inputs" in step.plan.values else {}
    defaults = {name: spec.default for name, spec in plan.flow.inputs.items() if spec.default is not msgspec.UNSET}
    assert machine.root is not None
    own = {"inputs": {**defaults, **given}, "run": machine.root.names["run"]}
    step.inner = Composite()
    step.started_at = step.started_at if step.started_at is not None else machine.time
    step.inner.open[0] = machine.open_scope(plan.root, f"{step.key}.", ScopeNames(None, own), step)
    machine.mark(step)


def depth(step: StepState) -> int:
    """How many flows are around this step."""
    owners = 0
    owner = step.scope.owner
    while owner is not None:
        owners += owner.plan.kind == "flow"
        owner = owner.scope.owner
    return owners


def look_at(machine: RunMachine, step: StepState, now: float) -> None:
    assert step.inner is not None
    scope = step.inner.open[0]
    if scope.failed is not None:
        machine.fail(step, failure_of(scope), now)
        return
    if scope.unsettled:
        return
    try:
        output = scope.plan.output.evaluate(scope.names) if scope.plan.output is not None else None
    except StepFailure as refused:
        failure = Failure(refused.failure.code, refused.failure.detail, f"{step.key}.output")
        machine.fail(step, failure, now)
        return
    succeed(machine, step, output)

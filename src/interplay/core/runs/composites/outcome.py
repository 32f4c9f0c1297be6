"""How a composing step succeeds, and how a failure inside becomes its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from interplay.core.failures import Failure
from interplay.core.runs.events import StepSucceeded
from interplay.core.runs.state import ScopeState, StepState

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine


def succeed(machine: RunMachine, step: StepState, output: Any) -> None:
    """The step's result; whatever is still going on inside is cancelled."""
    assert step.inner is not None
    for scope in list(step.inner.open.values()):
        machine.cancel_scope(scope, f"{step.key} has its result")
    started = step.started_at if step.started_at is not None else machine.time
    machine.record(step, StepSucceeded(output, started, max(0.0, machine.time - started)))


def failure_of(scope: ScopeState) -> Failure:
    """The failure of the inner step that failed its scope, with the step's path as the place."""
    failed = scope.failed
    assert failed is not None
    assert failed.failure is not None
    return msgspec.structs.replace(failed.failure, where=failed.failure.where or failed.key)


def forget(machine: RunMachine, scope: ScopeState) -> None:
    """Drops the steps of a scope whose result is known, so that a long map or loop stays small."""
    for step in scope.steps.values():
        if step.inner is not None:
            for inner in step.inner.open.values():
                forget(machine, inner)
        machine.steps.pop(step.key, None)

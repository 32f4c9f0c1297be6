"""`map`: the same steps for every item of a list, some at a time; results in the order of the items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.plan import MapPlan
from interplay.core.runs.composites.outcome import failure_of, forget, succeed
from interplay.core.runs.state import Composite, ScopeNames, ScopeState, StepState

if TYPE_CHECKING:
    from interplay.core.runs.machine import RunMachine

DEFAULT_CONCURRENCY = 16


def open_map(machine: RunMachine, step: StepState, plan: MapPlan) -> None:
    over = plan.over.evaluate(step.scope.names)
    if not isinstance(over, list):
        raise StepFailure(
            "expression",
            f"`over` gave {_kind_of(over)}, and a map needs a list.",
            where=f"{step.key}.over",
        )
    wanted = plan.concurrency.evaluate(step.scope.names) if plan.concurrency is not None else None
    concurrency = wanted if isinstance(wanted, int) and wanted > 0 else DEFAULT_CONCURRENCY
    step.inner = Composite(over=over, concurrency=concurrency)
    machine.mark(step)


def open_item(machine: RunMachine, step: StepState, plan: MapPlan, index: int) -> ScopeState | None:
    """The scope of one item; None when its result is already known or there is no such item."""
    inner = step.inner
    assert inner is not None
    if index in inner.open:
        return inner.open[index]
    if index in inner.results or index in inner.failures or index >= len(inner.over):
        return None
    names = ScopeNames(step.scope.names, {plan.as_name: inner.over[index], "index": index})
    scope = machine.open_scope(plan.body, f"{step.key}[{index}].", names, step, index)
    inner.open[index] = scope
    if not plan.body.steps:
        inner.touched.append(scope)
    return scope


def look_at(machine: RunMachine, step: StepState, plan: MapPlan, now: float) -> None:
    inner = step.inner
    assert inner is not None
    touched, inner.touched = inner.touched, []
    for scope in touched:
        if scope.index in inner.open and not _close_item(machine, step, plan, scope, now):
            return
    while len(inner.open) < inner.concurrency and inner.turn < len(inner.over):
        open_item(machine, step, plan, inner.turn)
        inner.turn += 1
    if inner.touched:
        machine.mark(step)
    elif not inner.open and inner.turn >= len(inner.over):
        succeed(machine, step, _result(inner, plan))


def _close_item(machine: RunMachine, step: StepState, plan: MapPlan, scope: ScopeState, now: float) -> bool:
    """False when the item's failure failed the whole map."""
    inner = step.inner
    assert inner is not None
    failure: Failure | None = None
    if scope.failed is not None:
        failure = failure_of(scope)
        machine.cancel_scope(scope, f"{step.key}[{scope.index}] failed")
    elif scope.unsettled:
        return True
    else:
        try:
            output = plan.body.output
            inner.results[scope.index] = output.evaluate(scope.names) if output is not None else None
        except StepFailure as refused:
            failure = refused.failure
    if failure is not None:
        if plan.on_item_error == "fail":
            detail = f"Item {scope.index} failed: {failure.detail}"
            machine.fail(step, Failure("item_failed", detail, failure.where, failure.advice), now)
            return False
        inner.failures[scope.index] = failure
    scope.closed = True
    del inner.open[scope.index]
    forget(machine, scope)
    return True


def _result(inner: Composite, plan: MapPlan) -> dict[str, Any]:
    keep = range(len(inner.over)) if plan.on_item_error == "null" else sorted(inner.results)
    failed = [
        {"index": index, "error": {"code": failure.code, "detail": failure.detail}}
        for index, failure in sorted(inner.failures.items())
    ]
    return {"items": [inner.results.get(index) for index in keep], "failed": failed}


def _kind_of(value: Any) -> str:
    names = {dict: "an object", str: "a string", bool: "a boolean", int: "an integer", float: "a number"}
    return names.get(type(value), "nothing")

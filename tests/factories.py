"""Small plans and runs for tests: built by hand, without the flow language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.ir import Flow, OnError, Policy, Step
from interplay.core.flows.plan import (
    ABSENT,
    BranchesPlan,
    Composite,
    Evaluable,
    LoopPlan,
    MapPlan,
    Plan,
    ScopePlan,
    StepPlan,
)
from interplay.core.ids import derived_uuid
from interplay.core.runs.signals import Signal


@dataclass(frozen=True)
class Value:
    """An Evaluable from a function of the names."""

    of: Callable[[Mapping[str, Any]], Any]
    roots: frozenset[str] = frozenset()

    def evaluate(self, names: Mapping[str, Any]) -> Any:
        try:
            return self.of(names)
        except TypeError as wrong:
            raise StepFailure("expression", str(wrong)) from None


def const(value: Any) -> Value:
    return Value(lambda _: value)


def ref(path: str) -> Value:
    """`a.b`: raises like the language does when something on the way is absent."""
    root, *rest = path.split(".")

    def look(names: Mapping[str, Any]) -> Any:
        value = names[root]
        for part in rest:
            if value is ABSENT or not isinstance(value, dict) or part not in value:
                raise StepFailure("expression", f"{path} is absent")
            value = value[part]
        if value is ABSENT:
            raise StepFailure("expression", f"{path} is absent")
        return value

    return Value(look, frozenset({root}))


def step(
    step_id: str,
    kind: str = "call",
    *,
    needs: Iterable[str] = (),
    tolerates: Iterable[str] = (),
    values: Mapping[str, Evaluable] | None = None,
    when: Evaluable | None = None,
    policy: Policy | None = None,
    fallback: Evaluable | None = None,
    composite: Composite | None = None,
) -> StepPlan:
    return StepPlan(
        step_id,
        kind,
        policy or Policy(on_error=OnError("use", "…") if fallback is not None else OnError()),
        dict(values or {}),
        frozenset(needs),
        frozenset(tolerates),
        when,
        None,
        fallback,
        composite,
    )


def scope(*steps: StepPlan, output: Evaluable | None = None) -> ScopePlan:
    dependents: dict[str, tuple[str, ...]] = {}
    for plan in steps:
        for need in plan.needs:
            dependents[need] = (*dependents.get(need, ()), plan.id)
    return ScopePlan({plan.id: plan for plan in steps}, output, dependents)


def plan(*steps: StepPlan, output: Evaluable | None = None, max_steps: int = 10_000, version: str = "v") -> Plan:
    flow = Flow("test", {s.id: Step(s.kind, {}, s.policy) for s in steps})
    return Plan(flow, version, scope(*steps, output=output), 86_400.0, max_steps)


def mapped(step_id: str, over: Evaluable, *inner: StepPlan, output: str, **options: Any) -> StepPlan:
    concurrency = options.pop("concurrency", None)
    on_item_error = options.pop("on_item_error", "fail")
    body = scope(*inner, output=ref(output))
    wanted = const(concurrency) if concurrency is not None else None
    composite = MapPlan(over, "item", body, wanted, on_item_error)
    return step(step_id, "map", composite=composite, **options)


def looped(step_id: str, *inner: StepPlan, carry: Any, update: Evaluable, until: Evaluable, most: int) -> StepPlan:
    return step(step_id, "loop", composite=LoopPlan(const(carry), scope(*inner), update, until, most))


def branched(kind: Any, step_id: str, *inner: StepPlan, **options: Any) -> StepPlan:
    policy = options.pop("policy", None)
    return step(step_id, kind, policy=policy, composite=BranchesPlan(kind, scope(*inner), **options))


def signal(name: str, payload: bytes, number: int = 1) -> Signal:
    return Signal(derived_uuid(name, str(number)), name, payload, float(number))


def failing(code: str = "unavailable") -> Failure:
    return Failure(code, "it did not work")


async def anywhere(_url: str) -> None:
    """An egress guard that lets everything pass, for tests that are about something else."""

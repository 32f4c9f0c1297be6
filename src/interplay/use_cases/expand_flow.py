"""A `flow` step starts: pin which version of the other flow it is, check its inputs, bring its plan."""

from __future__ import annotations

from interplay.core.errors import InvalidRunInputs
from interplay.core.failures import Failure, StepFailure
from interplay.core.flows.plan import SubflowPlan
from interplay.core.flows.types import check_inputs
from interplay.core.runs.composites.subflow import DEEPEST, depth
from interplay.core.runs.events import Body, StepExpanded
from interplay.core.runs.machine import RunMachine
from interplay.core.runs.retrying import settled_failure
from interplay.core.runs.state import StepState
from interplay.ports.clock import Clock
from interplay.ports.flow_store import FlowStore
from interplay.use_cases.load_plan import PlanLoader


class ExpandFlow:
    def __init__(self, flows: FlowStore, plans: PlanLoader, clock: Clock) -> None:
        self._flows = flows
        self._plans = plans
        self._clock = clock

    async def run(self, project_id: int, machine: RunMachine, step: StepState) -> Body:
        """The fact to journal. Raises NotFound or Unavailable where the flow cannot be had."""
        wanted = step.plan.composite
        assert isinstance(wanted, SubflowPlan)
        now = self._clock.now()
        if depth(step) >= DEEPEST:
            failure = Failure("too_many_steps", f"Flows call each other more than {DEEPEST} deep.", step.key)
            return settled_failure(step, failure, (now, 0.0))
        if wanted.version is not None:
            version = (await self._flows.get(project_id, wanted.version, wanted.name)).version
        else:
            version = await self._flows.resolve(project_id, wanted.name, wanted.channel)
        plan = await self._plans.load(version)
        try:
            inputs = step.plan.values.get("inputs")
            check_inputs(plan.flow, inputs.evaluate(step.scope.names) if inputs is not None else {})
        except StepFailure as failed:
            return settled_failure(step, failed.failure, (now, 0.0))
        except InvalidRunInputs as wrong:
            failure = Failure("bad_request", wrong.detail, wrong.where, wrong.advice)
            return settled_failure(step, failure, (now, 0.0))
        machine.plans[version] = plan
        return StepExpanded(version)

"""Flow versions made ready to run, each compiled once and kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from interplay.core.flows.canonical import from_bytes
from interplay.core.flows.compile import compile_flow
from interplay.core.flows.plan import Plan
from interplay.ports.flow_store import FlowStore


class PlanLoader:
    """Plans by version. A version never changes, so what is kept is never stale; the oldest go first."""

    def __init__(self, flows: FlowStore, most: int = 512) -> None:
        self._flows = flows
        self._most = most
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Plan]] = {}

    def kept(self, version: str) -> Plan | None:
        plan = self._plans.get(version)
        if plan is not None:
            self._plans.move_to_end(version)
        return plan

    async def load(self, version: str) -> Plan:
        """Raises NotFound for an unknown version. Callers of the same version share one load."""
        plan = self.kept(version)
        if plan is not None:
            return plan
        task = self._loading.get(version)
        if task is None:
            task = self._loading[version] = asyncio.create_task(self._load(version))
            task.add_done_callback(lambda _: self._loading.pop(version, None))
        return await asyncio.shield(task)

    async def _load(self, version: str) -> Plan:
        plan = compile_flow(from_bytes(await self._flows.load(version)), version)
        self.keep(plan)
        return plan

    def keep(self, plan: Plan) -> None:
        """Remembers a plan that was just made, so that its first run need not load it."""
        self._plans[plan.version] = plan
        while len(self._plans) > self._most:
            self._plans.popitem(last=False)

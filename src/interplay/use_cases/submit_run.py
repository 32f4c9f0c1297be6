"""Starts runs: checks inputs, pins the version, makes it durable, wakes a worker."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from interplay.core.errors import InvalidInput
from interplay.core.flows.types import check_inputs
from interplay.core.runs.events import encode_value
from interplay.ports.event_bus import EventBus
from interplay.ports.flow_store import FlowStore
from interplay.ports.run_store import CreatedRun, NewRun, RequestKey, RunStore
from interplay.use_cases.load_plan import PlanLoader

_MANY = 20  # runs that are prepared in one turn of the loop


@dataclass(frozen=True, slots=True)
class RunRequest:
    """`version` wins over `channel`; without either the flow's own default channel is taken."""

    flow: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    channel: str | None = None
    version: str | None = None
    idempotency_key: str | None = None
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    batch_id: UUID | None = None
    run_id: UUID | None = None
    key_id: UUID | None = None  # on which its steps count


class SubmitRun:
    def __init__(
        self,
        runs: RunStore,
        flows: FlowStore,
        plans: PlanLoader,
        bus: EventBus,
        new_id: Callable[[], UUID],
    ) -> None:
        self._runs = runs
        self._flows = flows
        self._plans = plans
        self._bus = bus
        self._new_id = new_id

    async def run(
        self, project_id: int, requests: Sequence[RunRequest], whole: RequestKey | None = None
    ) -> list[CreatedRun]:
        """All or none; `whole` is the key of them all.

        Raises NotFound (flow, channel, version), InvalidRunInputs, IdempotencyConflict.
        """
        versions: dict[tuple[str, str | None, str | None], str] = {}
        new = []
        for request in requests:
            key = (request.flow, request.channel, request.version)
            if key not in versions:
                versions[key] = await self._version(project_id, request)
            new.append(await self._new(project_id, request, versions[key]))
        created = await self._runs.create(new, whole)
        self.told(new)
        return created

    async def prepare(self, project_id: int, request: RunRequest) -> NewRun:
        """The run as it would be created, for whoever does it together with something else, and calls `told` then.

        Raises NotFound (flow, channel, version) and InvalidRunInputs.
        """
        return await self._new(project_id, request, await self._version(project_id, request))

    async def prepare_each(self, project_id: int, requests: Sequence[RunRequest]) -> list[NewRun | InvalidInput]:
        """As `prepare`, of many: in place of a run whose inputs do not fit, why. Raises NotFound."""
        versions: dict[tuple[str, str | None, str | None], str] = {}
        found: list[NewRun | InvalidInput] = []
        for place, request in enumerate(requests):
            if place % _MANY == 0:
                await asyncio.sleep(0)  # others have their turn
            key = (request.flow, request.channel, request.version)
            if key not in versions:
                versions[key] = await self._version(project_id, request)
            try:
                found.append(await self._new(project_id, request, versions[key]))
            except InvalidInput as wrong:
                found.append(wrong)
        return found

    def told(self, new: Sequence[NewRun]) -> None:
        """Wakes workers for what was created."""
        for queue in {run.queue for run in new}:
            self._bus.publish(f"queue.{queue}", {"runs": len(new)})

    async def _version(self, project_id: int, request: RunRequest) -> str:
        if request.version is not None:
            return (await self._flows.get(project_id, request.version, request.flow)).version
        return await self._flows.resolve(project_id, request.flow, request.channel)

    async def _new(self, project_id: int, request: RunRequest, version: str) -> NewRun:
        plan = self._plans.kept(version) or await self._plans.load(version)
        inputs = check_inputs(plan.flow, request.inputs)
        return NewRun(
            run_id=request.run_id or self._new_id(),
            project_id=project_id,
            flow_name=request.flow,
            flow_version=version,
            input=encode_value(inputs),
            priority=request.priority,
            deadline=plan.deadline,
            idempotency_key=request.idempotency_key,
            request_digest=_digest(request, inputs) if request.idempotency_key is not None else None,
            batch_id=request.batch_id,
            labels=dict(request.labels),
            key_id=request.key_id,
        )


def _digest(request: RunRequest, inputs: Mapping[str, Any]) -> str:
    """What makes two requests the same: the flow as named, and the inputs."""
    parts = [request.flow, request.channel, request.version, dict(inputs)]
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()

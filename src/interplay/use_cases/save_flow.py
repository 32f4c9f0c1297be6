"""Checks a flow against what its project knows, and keeps it as a version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from interplay.core.flows.canonical import flow_version, from_bytes, to_bytes
from interplay.core.flows.compile import check_flow, compile_flow
from interplay.core.flows.ir import Flow, flows_called
from interplay.core.flows.parse import parse_flow
from interplay.core.flows.plan import Plan
from interplay.core.flows.problems import InvalidFlow, Problem
from interplay.ports.flow_store import FlowStore
from interplay.ports.model_registry import ModelRegistry
from interplay.use_cases.load_plan import PlanLoader

T = TypeVar("T")
_LARGE: Final = 16_384  # characters: a flow of this size takes some 20 ms to check


@dataclass(frozen=True, slots=True)
class Coming:
    """What will be there when a flow is: tasks of models and inputs of flows, by name."""

    models: Mapping[str, str] = field(default_factory=dict)
    flows: Mapping[str, list[str]] = field(default_factory=dict)


NOTHING_MORE: Final = Coming()


@dataclass(frozen=True, slots=True)
class FlowSource:
    """YAML text, what its file is called, and the texts of the prompt files that it names."""

    text: str
    file: str = ""
    files: Mapping[str, str] | None = None

    def read(self, name: str) -> str:
        if self.files is None or name not in self.files:
            raise FileNotFoundError(2, "it was not sent along")
        return self.files[name]


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    flow: Flow | None
    plan: Plan | None
    version: str | None
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class SavedFlow:
    name: str
    version: str
    created: bool
    plan: Plan


class SaveFlow:
    def __init__(self, flows: FlowStore, models: ModelRegistry, plans: PlanLoader) -> None:
        self._flows = flows
        self._models = models
        self._plans = plans

    async def check(self, project_id: int, source: FlowSource, coming: Coming = NOTHING_MORE) -> CheckedFlow:
        """All problems at once; nothing is kept."""
        parsed = await _apart(source, lambda: parse_flow(source.text, source.file, source.read))
        flow = parsed.flow
        if flow is None:
            return CheckedFlow(None, None, None, parsed.problems)
        registry = await self._models.load(project_id)
        tasks = {name: str(model.task) for name, model in registry.models.items()} | dict(coming.models)
        version = flow_version(flow)
        flows = {**await self._known_flows(project_id, flow), **coming.flows} if flows_called(flow) else None
        result = await _apart(
            source, lambda: check_flow(flow, parsed.source, models=tasks, flows=flows, version=version)
        )
        problems = _once([*parsed.problems, *result.problems])
        return CheckedFlow(flow, None if problems else result.plan, version, problems)

    async def _known_flows(self, project_id: int, flow: Flow) -> dict[str, list[str]]:
        """Every flow of the project with the inputs of its latest version; a flow may call itself."""
        found = {flow.name: list(flow.inputs)}
        for summary in await self._flows.page(project_id, 1000):
            ir = from_bytes(await self._flows.load(summary.latest))
            found.setdefault(summary.name, list(ir.inputs))
        return found

    async def save(self, project_id: int, source: FlowSource, expected_name: str | None = None) -> SavedFlow:
        """Raises InvalidFlow with every problem."""
        checked = await self.check(project_id, source)
        problems = list(checked.problems)
        if checked.flow is not None and expected_name not in (None, checked.flow.name):
            message = f"the flow is called {checked.flow.name!r}, and {expected_name!r} is where it was sent"
            problems.append(Problem("flow_name", message, "flow"))
        if problems or checked.flow is None or checked.plan is None or checked.version is None:
            raise InvalidFlow(problems)
        flow, version, kept = checked.flow, checked.version, to_bytes(checked.flow)
        created = await self._flows.put(project_id, flow.name, version, kept, source.text, flow.about)
        # From what was kept, as whoever loads it will have it: the order in which a source writes its keys is no part
        # of the version, and every run of one version must give the same bytes.
        plan = await _apart(source, lambda: compile_flow(from_bytes(kept), version))
        self._plans.keep(plan)
        return SavedFlow(flow.name, version, created, plan)


async def _apart(source: FlowSource, work: Callable[[], T]) -> T:
    """A large flow is read in a thread: whoever else is served meanwhile does not wait for it."""
    size = len(source.text) + sum(map(len, (source.files or {}).values()))
    return await asyncio.to_thread(work) if size > _LARGE else work()


def _once(problems: list[Problem]) -> list[Problem]:
    unique = list(dict.fromkeys(problems))
    return sorted(unique, key=lambda p: (p.place.line, p.place.column, p.path, p.message))

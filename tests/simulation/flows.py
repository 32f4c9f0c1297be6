"""What is executed in simulations, and what the world answers to it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.core.failures import StepFailure
from interplay.core.flows.plan import Plan
from interplay.core.runs.events import encode_value
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.save_flow import FlowSource, SaveFlow
from interplay.use_cases.step_call import StepCall, StepResult
from tests.simulation.loop import Actor, SimulatedLoop

_PATIENT: Final = "retry: {max: 100, backoff: 50ms, max_backoff: 200ms}"
SOURCES: Final = {
    "inner": f"""
flow: inner
inputs: {{n: integer}}
steps:
  flaky: {{http: {{url: "http://world/", method: POST, body: {{n: $inputs.n}}}}, {_PATIENT}}}
output: $flaky.body
""",
    "calls": f"""
flow: calls
inputs: {{n: integer}}
steps:
  a: {{http: {{url: "http://world/", method: POST, body: {{n: $inputs.n}}}}, {_PATIENT}}}
  b: {{set: {{v: "${{ inputs.n + 1 }}"}}}}
  c: {{http: {{url: "http://world/", method: POST, body: {{after: $a.body}}}}, {_PATIENT}}}
  w: {{wait: 300ms, after: [b]}}
  d: {{set: {{v: "${{ b.v + 1 }}", c: $c.body}}, after: [c, w]}}
output: $d
""",
    "parked": f"""
flow: parked
inputs: {{n: integer}}
steps:
  a: {{http: {{url: "http://world/", method: POST, body: {{n: $inputs.n}}}}, {_PATIENT}}}
  long: {{wait: 4s, after: [a]}}
  go: {{wait: {{signal: go}}}}
  b: {{http: {{url: "http://world/", method: POST, body: {{go: $go}}}}, {_PATIENT}, after: [long]}}
output: {{b: $b.body, go: $go}}
""",
    "asked": f"""
flow: asked
inputs: {{n: integer}}
steps:
  a: {{http: {{url: "http://world/", method: POST, body: {{n: $inputs.n}}}}, {_PATIENT}}}
  ask: {{approve: {{who: [ann, bob], show: $a.body}}, after: [a]}}
output: $ask.decision
""",
    "fanned": f"""
flow: fanned
inputs: {{n: integer}}
steps:
  each:
    map:
      over: "${{ [1, 2, 3, 4] }}"
      as: x
      steps:
        call: {{http: {{url: "http://world/", method: POST, body: {{x: $x}}}}, {_PATIENT},
          limit: {{key: narrow, concurrency: 2}}}}
      output: $call.body
  sub: {{flow: {{name: inner, inputs: {{n: $inputs.n}}}}}}
output: {{each: $each, sub: $sub}}
""",
    "moved": f"""
flow: moved
inputs: {{n: integer}}
steps:
  a: {{http: {{url: "http://world/", method: POST, body: {{n: $inputs.n}}}}, {_PATIENT}}}
  there: {{http: {{url: "http://world/", method: POST, body: {{n: $a.body}}}}, {_PATIENT}, pool: other}}
output: $there.body
""",
    "once": """
flow: once
inputs: {n: integer}
steps:
  pay: {http: {url: "http://world/", method: POST, body: {n: $inputs.n}}, effect: fail, on_error: continue}
  then: {set: {v: "${ inputs.n * 2 }"}}
output: $then.v
""",
    "turns": f"""
flow: turns
inputs: {{n: integer}}
steps:
  round:
    loop:
      carry: 0
      max: 3
      steps:
        turn: {{http: {{url: "http://world/", method: POST, body: {{at: $carry}}}}, {_PATIENT}}}
      update: "${{ carry + 1 }}"
output: $round
""",
}
LIMITS: Final = {"narrow": 2}


def answer(key: str, attempt: int, args: Mapping[str, Any]) -> Any:
    """The same to the same question, whoever asks and whenever; the first attempt of what is flaky fails."""
    if "flaky" in key and attempt == 1:
        raise StepFailure("unavailable", "not now")
    return {"status": 200, "body": {"sum": zlib.crc32(key.encode() + encode_value(args.get("body")))}}


@cache
def library() -> tuple[MemoryFlowStore, dict[str, Plan], dict[str, str]]:
    """The flows, their plans by version, and their versions by name: made once, never changed."""

    async def make() -> tuple[MemoryFlowStore, dict[str, Plan], dict[str, str]]:
        flows = MemoryFlowStore(SystemClock())
        plans = PlanLoader(flows)
        save = SaveFlow(flows, MemoryModelRegistry(), plans)
        saved = [await save.save(project, FlowSource(source)) for project in (1, 2) for source in SOURCES.values()]
        return flows, {one.version: one.plan for one in saved}, {one.name: one.version for one in saved}

    return asyncio.run(make())


@dataclass
class WorldCall:
    """What a process asked the world for a step. `ended` is None while it goes on, or when the process died in it."""

    run_id: UUID
    key: str
    kind: str
    effect: str | None
    limit: str | None
    actor: str
    began: float
    ended: float | None = None


class World:
    """Executes steps for one process, and keeps what was asked."""

    def __init__(self, loop: SimulatedLoop, actor: Actor, calls: list[WorldCall], told: Callable[..., None]) -> None:
        self._loop, self._actor, self._calls, self._told = loop, actor, calls, told

    async def execute(self, call: StepCall) -> StepResult:
        policy = call.policy
        limit = str(policy.limit.key) if policy.limit is not None else None
        made = WorldCall(
            call.run_id, call.step_key, call.kind, policy.effect, limit, self._actor.name, self._loop.time()
        )
        self._calls.append(made)
        self._told(self._actor.name, "call", call.idempotency_key, call.attempt)
        try:
            dice = self._loop.dice
            await asyncio.sleep(dice.uniform(0.0, 0.2) if dice.random() < 0.9 else dice.uniform(0.5, 3.0))
            return StepResult(answer(call.step_key, call.attempt, call.args))
        finally:
            made.ended = self._loop.time()

    async def cache_digest(self, call: StepCall) -> str:
        return call.idempotency_key

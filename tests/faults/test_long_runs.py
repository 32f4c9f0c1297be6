"""Runs of thousands of steps (fault 19), and a worker killed at the edges of their snapshots (2)."""

from __future__ import annotations

import asyncio
import signal

import pytest

from interplay.adapters.postgres.failpoints import Failpoint
from interplay.core.runs.events import EventKind
from tests.faults.conftest import Bench
from tests.faults.test_api_faults import API_POINTS
from tests.faults.test_kills import WORKER_POINTS
from tests.faults.test_schedules import POINTS as FIRE_POINTS
from tests.faults.test_webhooks import POINTS as DELIVER_POINTS

pytestmark = pytest.mark.timeout(180)
STEPS = 5_000
TURNS = """
flow: turns
inputs: {n: integer}
steps:
  turns: {loop: {carry: 0, steps: {s: {set: {v: "${ carry + 1 }"}}}, update: $s.v, max: 1500}}
  last: {wait: 10ms, after: [turns]}
output: $turns.carry
"""


def long_flow() -> str:
    """A hundred chains of fifty steps, and one that adds up their ends."""
    steps = ['  s0_0: {set: {v: "${ inputs.n }"}}']
    chains = STEPS // 50
    for chain in range(chains):
        steps += [
            f'  s{chain}_{n}: {{set: {{v: "${{ s{chain}_{n - 1}.v + 1 }}"}}}}'
            if n
            else f'  s{chain}_0: {{set: {{v: "${{ inputs.n + {chain} }}"}}}}'
            for n in range(50)
            if chain or n
        ]
    ends = ", ".join(f"$s{chain}_49.v" for chain in range(chains))
    return "\n".join(["flow: long", "inputs: {n: integer}", "steps:", *steps, f"output: [{ends}]"])


class TestManySteps:
    async def test_five_thousand_steps_of_one_flow_end(self, bench: Bench) -> None:
        bench.worker()
        (run,) = await bench.start(long_flow(), 1)
        await bench.until_ended(120)
        await bench.check()
        succeeded = 0
        seq = 0
        while page := await bench.runs.events(1, run, seq, 1000):
            seq = page[-1].seq
            succeeded += sum(1 for event in page if event.kind == EventKind.STEP_SUCCEEDED)
        assert succeeded == STEPS

    @pytest.mark.parametrize("point", [p for p in Failpoint if p.value.startswith("snapshot")], ids=lambda p: p.value)
    async def test_a_kill_at_a_snapshot_costs_time_and_no_work(self, bench: Bench, point: Failpoint) -> None:
        victim = bench.worker(INTERPLAY_FAILPOINT=f"{point.value}:kill")
        (run,) = await bench.start(TURNS, 1)
        assert await asyncio.to_thread(victim.wait, 60) == -signal.SIGKILL
        bench.worker()
        await bench.until_ended(90)
        await bench.check()
        assert (await bench.runs.get(1, run)).takeovers == 1


class TestFailpoints:
    def test_each_is_killed_at_somewhere(self) -> None:
        """A new failpoint without a test fails here."""
        snapshots = {p for p in Failpoint if p.value.startswith("snapshot")}
        fires = {Failpoint(value) for value in FIRE_POINTS}
        deliveries = {Failpoint(value) for value in DELIVER_POINTS}
        assert set(API_POINTS) | set(WORKER_POINTS) | snapshots | fires | deliveries == set(Failpoint)

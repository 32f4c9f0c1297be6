"""The protocol under faults drawn from seeds, with the product's own code, in simulated time."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys

import pytest

from tests.simulation.loop import Actor, SimulatedLoop, Stuck
from tests.simulation.simulate import simulate

SEEDS, CHUNK = 200, 25


class TestSimulation:
    @pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
    def test_every_invariant_holds_whatever_happens(self, first: int) -> None:
        for seed in range(first, first + CHUNK):
            verdict = simulate(seed)
            lines = "\n".join(verdict.trace[-60:])
            assert not verdict.broken, (
                f"seed {seed}: {verdict.broken}\n{lines}\n`python -m tests.simulation --trace {seed}`"
            )

    def test_it_is_a_storm(self) -> None:
        """It cannot pass by doing nothing."""
        verdicts = [simulate(seed, keep=0) for seed in range(1, 21)]
        for what, least in (("commit", 40), ("call", 30), ("reap", 20), ("claim", 40)):
            assert all(verdict.counts[what] >= least for verdict in verdicts), what
        for fault in ("kill", "freeze", "stop", "outage", "last-kill", "adopt", "retire", "offsets", "rebalance"):
            assert sum(verdict.counts.get(fault, 0) for verdict in verdicts) >= 5, fault

    def test_a_seed_is_replayed_exactly(self) -> None:
        first, again, other = simulate(7), simulate(7), simulate(8)
        assert first == again
        assert first.digest != other.digest

    def test_in_another_process_too(self) -> None:
        command = [sys.executable, "-m", "tests.simulation", "--trace", "7"]
        environment = {**os.environ, "PYTHONHASHSEED": "12345"}
        said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
        assert f"trace {simulate(7).digest}" in said.splitlines()[-1]


class TestLoop:
    def test_an_hour_costs_what_its_events_cost(self) -> None:
        loop = SimulatedLoop(random.Random(1))
        loop.run_until_complete(asyncio.sleep(3600.0))
        assert loop.time() == 3600.0
        assert loop.turns < 10
        loop.close()

    def test_a_frozen_process_stands_still_and_goes_on_where_it_stood(self) -> None:
        loop, seen = SimulatedLoop(random.Random(1)), []
        actor = Actor("one")

        async def work() -> None:
            for number in range(4):
                await asyncio.sleep(1.0)
                seen.append((number, loop.time()))

        task = loop.start(actor, work)
        loop.call_at(1.5, loop.freeze, actor)
        loop.call_at(5.0, loop.thaw, actor)
        loop.run_until_complete(task)
        assert seen == [(0, 1.0), (1, 5.0), (2, 6.0), (3, 7.0)]
        loop.close()

    def test_a_dead_one_runs_no_line_more(self) -> None:
        loop, seen = SimulatedLoop(random.Random(1)), []
        actor = Actor("one")

        async def work() -> None:
            try:
                await asyncio.sleep(1.0)
            finally:
                seen.append(loop.time())

        task = loop.start(actor, work)
        loop.call_at(0.5, loop.kill, actor)
        loop.run_until_complete(asyncio.sleep(9.0))
        assert seen == []
        loop.bury(actor)
        loop.run_until_complete(task)
        loop.close()

    def test_when_nobody_can_ever_go_on_it_says_so(self) -> None:
        loop = SimulatedLoop(random.Random(1))
        with pytest.raises(Stuck):
            loop.run_until_complete(asyncio.Event().wait())
        loop.close()

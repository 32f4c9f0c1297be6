"""Chat answers to prompts of 400 KB, on one connection."""

from __future__ import annotations

from benchmarks.harness.result import Result
from benchmarks.scenarios.gateways import LARGE, Turn, contest, ours, peers

LONG = Turn("400 KB prompts, 1 connection", "whole", 1, LARGE)


async def run(quick: bool) -> Result:
    result = Result("gateway-large")
    found = await contest([*ours(), *peers()], (LONG,), quick)
    found.write(result, (LONG,))
    result.at_most("added, median, ms", found.added(LONG.title, lambda one: one.p50), 3.0)
    return result

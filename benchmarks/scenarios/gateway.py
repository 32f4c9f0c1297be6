"""Chat answers that are not streamed: 0.3 KB in, 0.4 KB out, an upstream that answers at once."""

from __future__ import annotations

import statistics

from benchmarks.harness.result import Result
from benchmarks.scenarios.gateways import SMALL, Turn, contest, ours, peers

ALONE = Turn("1 connection", "whole", 1, SMALL)
MANY = Turn("32 connections", "whole", 32, SMALL)


async def run(quick: bool) -> Result:
    result = Result("gateway")
    turns = (ALONE, MANY)
    found = await contest([*ours(), *peers()], turns, quick)
    found.write(result, turns)
    found.judge(result, "tensorzero", MANY.title, 2)
    found.judge(result, "portkey", MANY.title, 15)
    found.judge(result, "litellm", MANY.title, 200)
    result.at_most("added at one connection, median, ms", found.added(ALONE.title, lambda one: one.p50), 0.3)
    result.at_most("added at one connection, p99, ms", found.added(ALONE.title, lambda one: one.p99), 1.0)
    result.at_most("memory at rest, MB", found.memory["interplay"], 150)
    lost = sum(one.bad for rounds in found.systems["interplay"].found.values() for one in rounds)
    result.at_most("answers that were wrong", float(lost), 0)
    fastest = statistics.median(found.direct.of(MANY.title, lambda one: one.rate))
    result.notes.append(f"The upstream alone gives {fastest:,.0f} answers a second to 32 connections.")
    return result

"""Streams of 31 events on 128 connections: sent at once, and paced by 10 ms an event."""

from __future__ import annotations

from benchmarks.harness.result import Result
from benchmarks.scenarios.gateways import STREAM, Turn, contest, ours, peers

AT_ONCE = Turn("128 streams at once", "stream", 128, STREAM)
PACED = Turn("128 paced streams", "stream", 128, STREAM, "paced")


async def run(quick: bool) -> Result:
    result = Result("gateway-stream")
    turns = (AT_ONCE, PACED)
    found = await contest([*ours(), *peers()], turns, quick)
    found.write(result, turns)
    found.judge(result, "tensorzero", AT_ONCE.title, 2)
    found.judge(result, "litellm", AT_ONCE.title, 20)
    result.at_most("a paced event, added, median, ms", found.added(PACED.title, lambda one: one.event50), 1.0)
    result.at_most("a paced event, added, p99, ms", found.added(PACED.title, lambda one: one.event99), 4.0)
    result.at_most("first token, added, median, ms", found.added(PACED.title, lambda one: one.first50), 1.0)
    lost = sum(one.bad for rounds in found.systems["interplay"].found.values() for one in rounds)
    result.at_most("streams lost", float(lost), 0)
    return result

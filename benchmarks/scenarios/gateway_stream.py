"""Streams of 31 events on 128 connections: sent at once, and paced by 10 ms an event.

A stream that began is waited for until twice the round's time is over, and then counts with the events that came: a
slow system has its figure from what it did in its time, and the run its end (below six minutes, quick below two).
"""

from __future__ import annotations

from benchmarks.harness.result import Result
from benchmarks.scenarios.gateways import STREAM, Turn, contest, ours, peers

AT_ONCE = Turn("128 streams at once", "stream", 128, STREAM)
PACED = Turn("128 paced streams", "stream", 128, STREAM, "paced")


async def run(quick: bool) -> Result:
    result = Result("gateway-stream")
    turns = (AT_ONCE, PACED)
    found = await contest([*ours(), *peers()], turns, quick, lasting=(1.0, 4.0))
    found.write(result, turns)
    found.judge(result, "tensorzero", AT_ONCE.title, 2)
    found.judge(result, "litellm", AT_ONCE.title, 20)
    result.at_most("a paced event, added, median, ms", found.added(PACED.title, lambda one: one.event50), 1.0)
    result.at_most("a paced event, added, p99, ms", found.added(PACED.title, lambda one: one.event99), 4.0)
    result.at_most("first token, added, median, ms", found.added(PACED.title, lambda one: one.first50), 1.0)
    lost = sum(one.bad + one.unfinished for rounds in found.systems["interplay"].found.values() for one in rounds)
    result.at_most("streams lost", float(lost), 0)
    return result

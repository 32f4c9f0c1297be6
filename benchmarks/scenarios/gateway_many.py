"""The same load with one key and two aliases, and with 10,000 keys and 1,000 aliases more, in rounds that take turns.

Each of the two has a database and a gateway process of its own. A bar compares the two within each round, and takes
the median of that over the rounds. Processor time is a bar too, because others on the machine hardly move it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.harness.loading import Round
from benchmarks.harness.result import Result
from benchmarks.peers.gateway_peer import InterplayGateway
from benchmarks.scenarios.gateways import SMALL, STREAM, Contest, Turn, contest

ALONE = Turn("1 connection", "whole", 1, SMALL)
MANY = Turn("32 connections", "whole", 32, SMALL)
STREAMS = Turn("64 streams at once", "stream", 64, STREAM)
KEYS, ALIASES = 10_000, 1_000
CROWDED = "interplay-many"


async def run(quick: bool) -> Result:
    result = Result("gateway-many")
    turns = (ALONE, MANY, STREAMS)
    few, many = InterplayGateway(), InterplayGateway(name=CROWDED, keys=KEYS, aliases=ALIASES)
    found = await contest([few, many], turns, quick, lasting=(2.0, 5.0))
    if CROWDED not in found.systems:
        result.notes.append(f"{CROWDED}: {found.absent[CROWDED]}")
        result.at_most("systems that were not there", 1.0, 0)
        return result
    found.write(result, turns)
    for turn in (MANY, STREAMS):
        result.at_least(f"rate with many / with few, {turn.title}", _ratio(found, turn, lambda one: one.rate), 0.9)
        result.at_most(
            f"processor time with many / with few, {turn.title}", _ratio(found, turn, lambda one: one.micros), 1.1
        )
    result.at_most("median with many / with few, 1 connection", _ratio(found, ALONE, lambda one: one.p50), 1.1)
    lost = sum(one.bad for rounds in found.systems.values() for turn in rounds.found.values() for one in turn)
    result.at_most("answers that were wrong", float(lost), 0)
    return result


def _ratio(found: Contest, turn: Turn, value: Callable[[Round], float]) -> float:
    few, many = (found.systems[name].of(turn.title, value) for name in ("interplay", CROWDED))
    return statistics.median(more / less for more, less in zip(many, few, strict=True))

"""The fault scenarios of the gateway from outside, at us and at the peers: the same scripts, questions and rules.

Of the scenarios in `tests/faults/gateway` two are not here: `kill -9 under load` asks for the accounts, and the peers
have no database that could be away in this set-up. Two stand for themselves here: `error in a 200`, `malformed JSON`.
A scenario passes where everything that is played in it does; it has one line on what was seen, the first wrong one
where there is one. Where a peer has a setting for what a scenario asks for (time limits, fallbacks, cooling down), it
is set; a system without keys of its own cannot refuse bad ones, and is not asked to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from benchmarks.faults.callers import callers
from benchmarks.faults.plays import Play, broken_streams, refusals
from benchmarks.faults.scripted import Script, scripted
from benchmarks.faults.stage import Stage, Wrong
from benchmarks.harness.result import Result
from benchmarks.peers.gateway_peer import GatewayPeer, InterplayGateway, Route
from benchmarks.peers.peer import NotHad
from benchmarks.peers.processes import free_ports
from benchmarks.scenarios.gateways import peers, started

_MOST = 90.0  # seconds that one play may take
_KEYLESS = ("tensorzero", "portkey")
Seen = dict[str, tuple[str, str]]  # by scenario: passed, FAILED or "not there", and what was seen


async def run(quick: bool) -> Result:  # noqa: ARG001  it is as short as it can be
    result = Result("gateway-faults")
    plays = [*refusals(), *broken_streams(), *callers()]
    names = list(dict.fromkeys(play.scenario for play in plays))
    for system in (InterplayGateway(), *peers()):
        try:
            system.install()
            seen = await _played(system, plays)
        except NotHad as wrong:
            result.notes.append(f"{system.name} was not there: {wrong}")
            continue
        result.versions.update(system.versions)
        for name in names:
            result.rows.append(
                {"scenario": name, "system": system.name, "passed": seen[name][0], "seen": seen[name][1]}
            )
        passed = sum(verdict == "passed" for verdict, _ in seen.values())
        result.figure(system.name, f"scenarios passed, of {len(names)}", "", [float(passed)])
        if system.name == "interplay":
            result.at_least("scenarios passed", float(passed), float(len(names)))
    result.rows.sort(key=lambda row: names.index(row["scenario"]))
    return result


async def _played(system: GatewayPeer, plays: Sequence[Play]) -> Seen:
    seen: Seen = {}
    async with contextlib.AsyncExitStack() as stack:
        stages = [await _staged(stack, f"fault{number:02}", system, play) for number, play in enumerate(plays)]
        await stack.enter_async_context(started(system, [route for route, _ in stages]))
        for (_, stage), play in zip(stages, plays, strict=True):
            verdict, line = await _one(stage, play)
            before = seen.get(play.scenario)
            if before is None or before[0] == "passed":
                seen[play.scenario] = (verdict, line)
    return seen


async def _staged(stack: contextlib.AsyncExitStack, name: str, system: GatewayPeer, play: Play) -> tuple[Route, Stage]:
    """The scripts of the play at addresses of their own, and the alias over them."""
    (nobody,) = free_ports(1)
    scripts = [None if act is None else await stack.enter_async_context(scripted(Script(act()))) for act in play.acts]
    targets = tuple(f"http://127.0.0.1:{nobody}/v1" if one is None else one.url for one in scripts)
    route = Route(name, targets, patience=play.patience, longer=play.longer, rests=play.rests)
    return route, Stage(system, name, scripts)


async def _one(stage: Stage, play: Play) -> tuple[str, str]:
    if play.scenario == "key flood" and stage.system.name in _KEYLESS:
        return "not there", "no keys of its own in this set-up"
    try:
        async with asyncio.timeout(_MOST):
            return "passed", await play.judge(stage)
    except Wrong as wrong:
        return "FAILED", str(wrong)
    except TimeoutError:
        return "FAILED", "no end in time"
    except (OSError, asyncio.IncompleteReadError) as wrong:
        return "FAILED", f"{type(wrong).__name__}: {wrong}"

"""The same load on gateways, one after the other in each round: ours and the peers, on the core beside the load.

A ratio is our median round over the peer's best one. The generator and the upstream are loaded directly first: where
they are not clearly faster than what they measure, the result says so.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.loading import Aim, Load, Round, build, rests, upstream
from benchmarks.harness.result import Bar, Result
from benchmarks.peers.gateway_peer import GatewayPeer, InterplayGateway, Route, straight
from benchmarks.peers.litellm import LiteLlm
from benchmarks.peers.peer import NotHad
from benchmarks.peers.portkey import Portkey
from benchmarks.peers.processes import free_ports
from benchmarks.peers.tensorzero import TensorZero

SMALL = {"messages": [{"role": "user", "content": "Hello, please help me with my multi-model pipeline. " * 4}]}
LARGE = {"messages": [{"role": "user", "content": "lorem ipsum dolor sit amet " * 15_200}]}  # 400 KB
STREAM = {**SMALL, "stream": True}
_FOREIGN = 0.25  # cores used by others, from which on a round is doubtful


@dataclass(frozen=True)
class Turn:
    """What is done to each system in a round."""

    title: str
    mode: str
    connections: int
    body: Mapping[str, Any]
    model: str = "bench"

    def on(self, aim: Aim, seconds: float) -> tuple[Aim, str, int, float, Mapping[str, Any]]:
        """The arguments of a round."""
        return aim, self.mode, self.connections, seconds, self.body


@dataclass
class Rounds:
    """Of one system, by the title of the turn."""

    found: dict[str, list[Round]] = field(default_factory=dict)

    def of(self, title: str, value: Callable[[Round], float]) -> list[float]:
        return [value(one) for one in self.found.get(title, [])]


@dataclass
class Contest:
    """`absent`: why a system is not there, or not in a turn. `direct`: the upstream without a gateway between."""

    systems: dict[str, Rounds] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    direct: Rounds = field(default_factory=Rounds)
    versions: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def keep(rounds: Rounds, turn: Turn, found: Round) -> None:
        rounds.found.setdefault(turn.title, []).append(found)

    def judge(self, result: Result, peer: str, title: str, bar: float) -> None:
        """Answers a second: our median over their best. A peer that is not there is told, and its bar missed."""
        ours = self.systems["interplay"].of(title, lambda one: one.rate)
        theirs = self.systems[peer].of(title, lambda one: one.rate) if peer in self.systems else []
        if not theirs:
            result.bars.append(Bar(f"x {peer}, {title}", f">= {bar:g}", 0.0, False))
            result.notes.append(f"{peer} was not measured at {title}, so its bar is not met.")
        else:
            result.at_least(f"x {peer}, {title}", statistics.median(ours) / max(theirs), bar)

    def added(self, title: str, value: Callable[[Round], float], system: str = "interplay") -> float:
        """What the gateway adds to the direct way: medians of rounds, in milliseconds."""
        return statistics.median(self.systems[system].of(title, value)) - statistics.median(
            self.direct.of(title, value)
        )

    def write(self, result: Result, turns: Sequence[Turn]) -> None:
        result.versions.update(self.versions)
        for name, why in self.absent.items():
            result.notes.append(f"{name}: {why}")
        for name, rounds in [("(direct)", self.direct), *self.systems.items()]:
            for turn in turns:
                _figures(result, name, turn, rounds)
            if name in self.memory:
                result.figure(name, "memory at rest", "MB", [self.memory[name]])
            _tell_unfinished(result, name, rounds)
        every = [one for rounds in self.systems.values() for turn in rounds.found.values() for one in turn]
        doubtful = sum(one.foreign > _FOREIGN for one in every)
        result.notes.append(
            f"{doubtful} of {len(every)} rounds had more than {_FOREIGN:g} of a core taken by others; "
            "processor time for each answer says more than rates there."
        )
        result.notes.append("A ratio is our median round over the peer's best round of the same run.")


def _figures(result: Result, name: str, turn: Turn, rounds: Rounds) -> None:
    found = rounds.found.get(turn.title)
    if not found:
        return
    unit = "answers/s" if turn.mode == "whole" else "streams/s"
    result.figure(name, turn.title, unit, [one.rate for one in found])
    ended = [one for one in found if one.p50 >= 0]  # in the others nothing came to its end in time
    if ended:
        result.figure(name, f"{turn.title}, median", "ms", [one.p50 for one in ended])
        result.figure(name, f"{turn.title}, p99", "ms", [one.p99 for one in ended])
    if name != "(direct)":
        result.figure(name, f"{turn.title}, processor time", "µs", [one.micros for one in found])
    if turn.mode == "stream":
        result.figure(name, f"{turn.title}, first token, median", "ms", [one.first50 for one in found])
        result.figure(name, f"{turn.title}, an event, median", "ms", [one.event50 for one in found])
        result.figure(name, f"{turn.title}, an event, p99", "ms", [one.event99 for one in found])
        result.figure(name, f"{turn.title}, streams lost", "", [float(one.bad) for one in found])


def _tell_unfinished(result: Result, name: str, rounds: Rounds) -> None:
    for title, found in rounds.found.items():
        left = sum(one.unfinished for one in found)
        if left:
            result.notes.append(
                f"{name}, {title}: {left} streams were not over when the time of their round was; they count with the "
                "share of their events that came."
            )


def peers() -> list[GatewayPeer]:
    return [TensorZero(), Portkey(), LiteLlm()]


def ours() -> list[GatewayPeer]:
    return [InterplayGateway(), InterplayGateway("asgi")]


async def contest(
    systems: Sequence[GatewayPeer], turns: Sequence[Turn], quick: bool, *, lasting: tuple[float, float] = (1.5, 5.0)
) -> Contest:
    """Rounds of all in turn, of so many seconds (quick, and full); one that fails in a turn is out of that turn, with
    the reason in `absent`. Raises NotHad where the first system, ours, cannot be measured."""
    made = Contest()
    rounds, seconds = (3, lasting[0]) if quick else (5, lasting[1])
    program = build()
    (port,) = free_ports(1)
    async with upstream(program, port) as (address, process), contextlib.AsyncExitStack() as running:
        load = Load(program, process)
        for system in systems:
            try:
                system.install()
                await running.enter_async_context(started(system, straight(address)))
            except NotHad as wrong:
                if system is systems[0]:
                    raise
                made.absent[system.name] = str(wrong)
                continue
            made.systems[system.name] = Rounds()
            made.memory[system.name] = system.memory()
            made.versions.update(system.versions)
        there = [system for system in systems if system.name in made.systems]
        for number in range(-1, rounds):  # the first warms up
            span = min(seconds, 1.0) if number < 0 else seconds
            for turn in turns:
                direct = Aim(address, model=turn.model)
                if number >= 0:
                    made.keep(made.direct, turn, await load.round(*turn.on(direct, min(span, 2.0))))
                for system in there[:: 1 if number % 2 else -1]:
                    await _turn(load, made, turn, system, span, keep=number >= 0)
    for turn in turns:
        if not made.systems[systems[0].name].found.get(turn.title):
            raise NotHad(f"{systems[0].name}: {made.absent.get(f'{systems[0].name}, {turn.title}')}")
    return made


async def _turn(load: Load, made: Contest, turn: Turn, system: GatewayPeer, seconds: float, *, keep: bool) -> None:
    aim = system.aim(turn.model)
    failed = f"{system.name}, {turn.title}"
    if failed in made.absent:
        return
    try:
        found = await load.round(*turn.on(aim, seconds))
        await rests(aim.pid)
    except NotHad as wrong:
        made.absent[failed] = " ".join(str(wrong).split())
        return
    if keep:
        made.keep(made.systems[system.name], turn, found)


@contextlib.asynccontextmanager
async def started(system: GatewayPeer, routes: Sequence[Route]) -> AsyncIterator[None]:
    print(f"  starting {system.name}", flush=True)
    with tempfile.TemporaryDirectory(prefix=f"bench-{system.name}-", ignore_cleanup_errors=True) as folder:
        try:
            await system.start(Path(folder), routes)
            yield
        finally:
            await system.stop()

"""The same work on other systems and on us, in one run: rounds of all in turn, and the ratios between them.

Everybody uses the PostgreSQL of one `interplay up` (Restate keeps a log of its own), and only one
system works at a time. A ratio is our median round over the peer's best one.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness.ours import Ours
from benchmarks.harness.result import Bar, Result
from benchmarks.peers.database import DatabaseServer
from benchmarks.peers.dbos import Dbos
from benchmarks.peers.interplay import InterplayEngine, InterplayFlow
from benchmarks.peers.langflow import Langflow
from benchmarks.peers.langgraph import LangGraph
from benchmarks.peers.peer import NotHad, Peer, Place, Work
from benchmarks.peers.restate import Restate
from benchmarks.peers.temporal import Temporal
from benchmarks.scenarios.engine import STEPS

CONNECTIONS = 400  # of the shared server: Temporal alone holds 80
# A socket's path may have 107 bytes: in a home with a longer one the server listens on loopback, as all peers need.
LONG = "interplay-bench-peers-" + "on-loopback-" * 8


@dataclass(frozen=True)
class Contest:
    """`bars`: how many times a peer's best figure ours must be. `per_job`: units in one job."""

    scenario: str
    metric: str
    unit: str
    per_job: int
    alone: str
    at_once: int
    bars: Sequence[tuple[Callable[[], Peer], float]]
    ours: str = ""  # how our own figure is taken, where it is not as theirs


ENGINE = Contest(
    "peers-engine", "durable steps, 64 runs at once", "steps/s", STEPS, "one run of five steps", 64,
    ((Restate, 6), (LangGraph, 15), (Dbos, 30), (Temporal, 50)),
    "Ours at 64 is a queued batch on two workers with 32 places each, from the 64th end to the last; theirs are 64 "
    "callers that send one job after the other. Ours alone is over HTTP, on a machine with a PostgreSQL of its own.",
)  # fmt: skip
FLOW_HTTP = Contest(
    "peers-flow-http", "runs through HTTP, 32 callers", "runs/s", 1, "one caller", 32, ((Langflow, 30),),
    "Ours is one `interplay up` with its own embedded PostgreSQL; callers and servers of all share both cores.",
)  # fmt: skip


@dataclass
class Figures:
    """Of one system, one entry a round."""

    rates: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)

    def note(self, rate: float, alone: float) -> None:
        self.rates.append(rate)
        self.alone.append(alone)


async def engine(quick: bool) -> Result:
    peers = _Peers.installed(ENGINE)
    async with _host() as (host, databases):
        return await _compare(ENGINE, InterplayEngine(host, 4_000 if quick else 12_000), peers, databases, quick)


async def flow_http(quick: bool) -> Result:
    peers = _Peers.installed(FLOW_HTTP)
    async with _host() as (_, databases):
        return await _compare(FLOW_HTTP, InterplayFlow(), peers, databases, quick)


@dataclass
class _Peers:
    """`bars` of all by name, `there` those that can be measured, `absent` why the others cannot."""

    bars: dict[str, float] = field(default_factory=dict)
    there: list[Peer] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)

    @classmethod
    def installed(cls, contest: Contest) -> _Peers:
        peers = cls()
        for make, bar in contest.bars:
            peer = make()
            peers.bars[peer.name] = bar
            try:
                peer.install()
            except NotHad as wrong:
                peers.absent[peer.name] = str(wrong)
            else:
                peers.there.append(peer)
        return peers


async def _compare(contest: Contest, us: Peer, peers: _Peers, databases: DatabaseServer, quick: bool) -> Result:
    result = Result(contest.scenario)
    result.versions.update({f"postgresql {name}": value for name, value in (await databases.promises()).items()})
    async with contextlib.AsyncExitStack() as running:
        systems = [us]
        await _started(us, databases, running)
        for peer in peers.there:
            try:
                await _started(peer, databases, running)
            except NotHad as wrong:
                peers.absent[peer.name] = str(wrong)
            else:
                systems.append(peer)
                result.versions.update(peer.versions)
        figures = await _rounds(contest, systems, quick, peers.absent)
    _write(result, contest, figures)
    if us.name not in figures:
        raise SystemExit(f"we could not be measured: {peers.absent[us.name]}")
    ours = figures[us.name]
    for name, bar in peers.bars.items():
        judge(result, name, bar, ours, figures.get(name), peers.absent.get(name))
    if contest.ours:
        result.notes.append(contest.ours)
    result.notes.append("A ratio is our median round over the peer's best round of the same run.")
    return result


async def _started(system: Peer, databases: DatabaseServer, running: contextlib.AsyncExitStack) -> None:
    place = tempfile.TemporaryDirectory(prefix=f"bench-{system.name}-", ignore_cleanup_errors=True)
    folder = running.enter_context(place)
    print(f"  starting {system.name}", flush=True)
    try:
        await system.start(Place(Path(folder), databases))
    except BaseException:
        await system.stop()
        raise
    running.push_async_callback(system.stop)


async def _rounds(contest: Contest, systems: list[Peer], quick: bool, absent: dict[str, str]) -> dict[str, Figures]:
    """Rounds of all in turn. A system that fails in one is out, with the reason in `absent`."""
    rounds, seconds, alone = (3, 3.0, 1.5) if quick else (5, 8.0, 3.0)
    figures = {system.name: Figures() for system in systems}
    for number in range(-1, rounds):  # the first warms up
        for system in [system for system in systems if system.name not in absent]:
            try:
                many = await system.round(Work(min(seconds, 3.0) if number < 0 else seconds, contest.at_once))
                one = await system.round(Work(alone, 1))
            except NotHad as wrong:
                absent[system.name] = f"in a round: {wrong}"
                figures.pop(system.name)
                continue
            if number >= 0:
                figures[system.name].note(many.rate * contest.per_job, one.median)
                rate = f"{figures[system.name].rates[-1]:,.1f} {contest.unit}"
                print(f"  round {number + 1} {system.name}: {rate}", flush=True)
    return figures


def _write(result: Result, contest: Contest, figures: dict[str, Figures]) -> None:
    for name, found in figures.items():
        result.figure(name, contest.metric, contest.unit, found.rates)
    for name, found in figures.items():
        result.figure(name, contest.alone, "ms", found.alone)


def judge(result: Result, name: str, bar: float, ours: Figures, theirs: Figures | None, absent: str | None) -> None:
    """Our median round over the peer's best one. A peer that was not measured is told, and its bar is missed."""
    if theirs is None or not theirs.rates:
        result.bars.append(Bar(f"x {name}", f">= {bar:g}", 0.0, False))
        result.notes.append(f"{name} was not measured, so its bar is not met: {absent}")
    else:
        result.at_least(f"x {name}", statistics.median(ours.rates) / max(theirs.rates), bar)


@contextlib.asynccontextmanager
async def _host() -> AsyncIterator[tuple[Ours, DatabaseServer]]:
    """A machine of ours without a worker, and its PostgreSQL, with connections enough for all."""
    with tempfile.TemporaryDirectory(prefix=LONG, ignore_cleanup_errors=True) as folder:
        Ours(Path(folder), "--workers", "0").stop()
        with (Path(folder) / "postgres" / "config" / "local.conf").open("a") as settings:
            settings.write(f"max_connections = {CONNECTIONS}\n")
        host = Ours(Path(folder), "--workers", "0")
        try:
            yield host, DatabaseServer.of_home(host.home)
        finally:
            host.stop()

"""Memory of the gateway at rest, and over ten minutes (quick: one) in which every 20th caller leaves in mid-stream.

The load is 128 paced streams, begun again as they end; of those that are left, every second one is reset. Memory is
the resident set of the gateway process, taken each half second. It is **flat** where the median of the last fifth of
the time is at most 10 MB, or 5 % where that is more, above the median of the second fifth; the first one warms up.

Nothing is leaked where afterwards the upstream has no call under way (looked at for five seconds), no more connections
from the gateway than there were streams at once, and where as many streams at once as the deployment's and the key's
`concurrency` allow are all served: a place that was never given back would refuse one of them.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.loading import Aim, Load, Round, build, upstream, upstream_counts
from benchmarks.harness.result import Result
from benchmarks.peers.gateway_peer import LIMITS, InterplayGateway, straight
from benchmarks.peers.processes import free_ports
from benchmarks.scenarios.gateways import STREAM, started

CALLERS = 128
PLACES = 160  # more than callers: one who left may be seen after he is back
LEAVE = 20  # every so manieth stream


async def run(quick: bool) -> Result:
    result = Result("gateway-memory")
    seconds = 60.0 if quick else 600.0
    program, system = build(), InterplayGateway()
    (port,) = free_ports(1)
    async with upstream(program, port) as (address, process), started(system, straight(address)):
        aim, load = await _bounded(system, address), Load(program, process)
        await asyncio.sleep(2.0)
        rest = resident(system.pid)
        full = await load.round(aim, "stream", PLACES, 1.0, STREAM)
        result.at_most(f"refused of {PLACES} at once before the load", float(full.bad + full.unfinished), 0)
        samples = asyncio.create_task(_sampled(system.pid, seconds))
        found = await load.round(aim, "stream", CALLERS, seconds, STREAM, leave=LEAVE)
        taken = await samples
        await _write(result, rest, taken, found)
        await _leaks(result, address)
        full = await load.round(aim, "stream", PLACES, 1.0, STREAM)
        result.at_most(f"refused of {PLACES} at once after the load", float(full.bad + full.unfinished), 0)
    result.notes.append(f"{seconds:g} seconds of load; resident set of the gateway process, without PostgreSQL.")
    return result


async def _bounded(system: InterplayGateway, address: str) -> Aim:
    """The paced alias and a key for it, both with just so many places."""
    (route,) = [route for route in straight(address) if route.name == "paced"]
    async with system.client() as client:
        await system.put(client, route, concurrency=PLACES)
        made = await client.keys.create("bounded", models=[route.name], limits={**LIMITS, "concurrency": PLACES})
    await asyncio.sleep(1.5)  # live on the gateway by then; `gateway-routes` measures when
    return replace(system.aim(route.name), key=made["secret"])


async def _sampled(pid: int, seconds: float) -> list[float]:
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        taken.append(resident(pid))
        await asyncio.sleep(0.5)
    return taken


async def _write(result: Result, rest: float, taken: list[float], found: Round) -> None:
    fifth = len(taken) // 5
    second, last = statistics.median(taken[fifth : 2 * fifth]), statistics.median(taken[-fifth:])
    result.figure("interplay", "memory at rest", "MB", [rest])
    for name, part in (("second", taken[fifth : 2 * fifth]), ("last", taken[-fifth:])):
        result.figure("interplay", f"memory under load, {name} fifth", "MB", part)
    result.figure("interplay", "streams", "streams/s", [found.rate])
    result.figure("interplay", "streams left by their caller", "", [float(found.left)])
    result.at_most("memory at rest, MB", rest, 150)
    result.at_most("last fifth above the second one, MB", last - second, max(10.0, second * 0.05))
    result.at_most("streams lost", float(found.bad + found.unfinished), 0)
    result.at_least(
        "share of streams that were left", found.left / max(1.0, found.left + found.rate * len(taken) / 2), 0.04
    )


async def _leaks(result: Result, address: str) -> None:
    """What the upstream sees five seconds after the load, or as soon as nothing is left."""
    for _ in range(50):
        connections, calls = await upstream_counts(address)
        if not calls:
            break
        await asyncio.sleep(0.1)
    result.at_most("upstream calls that were never ended", float(calls), 0)
    result.at_most("upstream connections left open", float(connections), PLACES)


def resident(pid: int) -> float:
    """MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0

"""An alias gets another target through the API: how long until every one of three gateways answers from it.

The time runs from before the change is sent until a gateway has first answered from the new target, the slowest of the
three; each is asked all the time, one call after the other. The two targets are two upstreams. The bar is for the
worst of all changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from benchmarks.harness.caller import Caller
from benchmarks.harness.loading import build, upstream
from benchmarks.harness.result import Result
from benchmarks.peers.gateway_peer import InterplayGateway, Route
from benchmarks.peers.peer import NotHad
from benchmarks.peers.processes import free_ports
from benchmarks.scenarios.gateways import SMALL, started
from interplay.client import AsyncClient

REPLICAS = 3
ALIAS = "routed"
WITHIN = 30.0  # seconds, for a change that never comes


async def run(quick: bool) -> Result:
    result = Result("gateway-routes")
    changes = 30 if quick else 300
    program, system = build(), InterplayGateway(replicas=REPLICAS)
    east, west = free_ports(2)
    async with upstream(program, east) as (first, _), upstream(program, west) as (second, _):
        routes = [
            Route(name, (f"http://{where}/v1",)) for name, where in (("east", first), ("west", second), (ALIAS, first))
        ]
        async with started(system, routes), system.client() as client:
            await point(client, "east")
            callers = [await Caller.connected(f"http://{one}", system.key) for one in system.addresses]
            await _all(callers, "east")
            acknowledged, slowest = [], []
            for number in range(changes):
                target = ("west", "east")[number % 2]
                began = time.monotonic()
                change = asyncio.create_task(_timed(point(client, target)))
                seen = asyncio.create_task(_all(callers, target))
                acknowledged.append(await change * 1e3)
                slowest.append((await seen - began) * 1e3)
            for caller in callers:
                caller.close()
    result.figure("interplay", "the API has answered", "ms", acknowledged)
    result.figure("interplay", f"live on all {REPLICAS} gateways", "ms", slowest)
    result.at_most(f"worst of {changes} changes, ms", max(slowest), 1_000)
    result.notes.append("Both count from before the change is sent; the spread is over the changes.")
    return result


async def point(client: AsyncClient, target: str) -> None:
    """The alias to one of the two upstreams."""
    one = [{"connection": f"{target}-0", "model": "bench", "name": target}]
    await client.models.put(ALIAS, {"task": "chat", "deployments": one})


async def _timed(change: Awaitable[None]) -> float:
    began = time.monotonic()
    await change
    return time.monotonic() - began


async def _all(callers: list[Caller], target: str) -> float:
    """When the last of the gateways answered from the target."""
    return max(await asyncio.gather(*(_answers_from(caller, target) for caller in callers)))


async def _answers_from(caller: Caller, target: str) -> float:
    try:
        async with asyncio.timeout(WITHIN):
            while True:
                await caller.post("/v1/chat/completions", {"model": ALIAS, **SMALL})
                if caller.header("x-interplay-model") == target:
                    return time.monotonic()
    except TimeoutError:
        raise NotHad(f"a gateway did not answer from {target!r} within {WITHIN:g} seconds") from None

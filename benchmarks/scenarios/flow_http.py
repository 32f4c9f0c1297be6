"""A three-step flow run through the HTTP API, the result in the answer, durable."""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness.caller import Caller
from benchmarks.harness.flows import THREE
from benchmarks.harness.ours import Ours, ours
from benchmarks.harness.result import Result
from interplay.client import AsyncClient


async def run(quick: bool) -> Result:
    result = Result("flow-http")
    seconds, rounds = (3.0, 3) if quick else (8.0, 5)
    with ours() as machine:
        async with AsyncClient(machine.url, machine.key) as client:
            await client.flows.put("three", THREE)
            await _load(machine, 1.0)
            speeds = [await _load(machine, seconds) for _ in range(rounds)]
            latencies = [await _one(client, number) for number in range(100)]
    median = result.figure("interplay", "runs through HTTP, 32 callers", "runs/s", speeds)
    result.figure("interplay", "one caller", "ms", latencies)
    result.at_least("runs/s", median, 300)
    result.notes.append(
        "How many times Langflow's rate that is, `make bench-peers SCENARIO=flow-http` measures in one run."
    )
    result.notes.append("The load generator is a Python program on the same two cores.")
    return result


async def _load(machine: Ours, seconds: float) -> float:
    """32 callers, each on a connection of its own, one request after the other."""
    done, end = 0, time.perf_counter() + seconds

    async def caller(number: int) -> None:
        nonlocal done
        caller = await Caller.connected(machine.url, machine.key)
        while time.perf_counter() < end:
            view = await caller.post("/api/v1/runs?wait=10", {"flow": "three", "inputs": {"x": number}})
            if view["output"] != number + 3:
                raise AssertionError(f"wrong output: {view}")
            done += 1
        caller.close()

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(32)))
    return done / (time.perf_counter() - began)


async def _one(client: AsyncClient, number: int) -> float:
    began = time.perf_counter()
    await client.runs.create("three", {"x": number}, wait=10)
    return (time.perf_counter() - began) * 1000

"""How the engine holds up as runs pile up: 1,000 to many queued runs, and runs that wait for a signal.

The claim is timed by itself, on a connection of its own through the very statement that workers use, beside
the speed of a worker over the same queue.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.harness.flows import CHAIN, WAITING
from benchmarks.harness.ours import Ours, ours
from benchmarks.harness.result import Result
from benchmarks.probes.claim import CLAIMED, CLAIMS, claim_times
from interplay.client import AsyncClient

FEW = 5_000
LEAST = 1_000 + CLAIMED * CLAIMS  # so that 1,000 are still queued at the last claim


async def run(quick: bool) -> Result:
    result = Result("scale")
    many, waiting = (50_000, 5_000) if quick else (1_000_000, 100_000)
    with ours("--workers", "0") as machine:
        async with AsyncClient(machine.url, machine.key) as client:
            await client.flows.put("chain", CHAIN)
            await _queue(client, "chain", "least", LEAST)
            quick_claims = await claim_times(machine.home)
            few = await _speed(machine, client, FEW, "few")
            lots = await _speed(machine, client, many, "many")
            slow_claims = await claim_times(machine.home)
    shortest = result.figure("interplay", f"a claim of {CLAIMED} with 1,000 queued", "ms", quick_claims)
    longest = result.figure("interplay", f"a claim of {CLAIMED} with {many:,} queued", "ms", slow_claims)
    result.at_most(f"claim time, 1,000 to {many:,} queued runs", longest / shortest, 2.0)
    result.figure("interplay", f"runs/s with {FEW:,} queued", "runs/s", [few])
    result.figure("interplay", f"runs/s with {many:,} queued", "runs/s", [lots])
    result.at_most(f"slow-down from {FEW:,} to {many:,} queued runs", few / lots, 2.0)
    with ours("--workers", "0") as machine:
        async with AsyncClient(machine.url, machine.key) as client:
            await client.flows.put("waiting", WAITING)
            before, after = await _waiting(machine, client, waiting)
    result.figure("interplay", "worker's memory before", "MB", [before])
    result.figure("interplay", f"worker's memory with {waiting:,} waiting", "MB", [after])
    result.at_most(f"MB that {waiting:,} waiting runs cost the worker", after - before, 40.0)
    return result


async def _queue(client: AsyncClient, flow: str, name: str, count: int) -> str:
    batch = ""
    for start in range(0, count, 5_000):
        rows = [{"key": str(i), "inputs": {"x": i}} for i in range(start, min(start + 5_000, count))]
        batch = (await client.batches.create(name, flow, rows))["batch"]
    return batch


async def _speed(machine: Ours, client: AsyncClient, count: int, name: str) -> float:
    """Runs per second while the first few thousand end and the rest is queued."""
    await _queue(client, "chain", f"{name}-{time.time()}", count)
    before = (await client.system())["runs"].get("succeeded", 0)
    worker = machine.start("serve", "worker", INTERPLAY_WORKER_CAPACITY="256")
    seen: list[tuple[int, float]] = []
    while not seen or seen[-1][0] < FEW - 500:
        done = (await client.system())["runs"].get("succeeded", 0) - before
        if done > 100:
            seen.append((done, time.perf_counter()))
    worker.kill()
    worker.wait()
    return (seen[-1][0] - seen[0][0]) / (seen[-1][1] - seen[0][1])


async def _waiting(machine: Ours, client: AsyncClient, count: int) -> tuple[float, float]:
    worker = machine.start("serve", "worker")
    await _queue(client, "waiting", f"first-{time.time()}", 2_000)
    await _until_waiting(client, 2_000)
    before = _resident(worker.pid)
    await _queue(client, "waiting", f"rest-{time.time()}", count)
    await _until_waiting(client, count + 2_000)
    return before, _resident(worker.pid)


async def _until_waiting(client: AsyncClient, count: int) -> None:
    while (await client.system())["runs"].get("waiting", 0) < count:
        await asyncio.sleep(0.5)


def _resident(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024
    return 0.0

"""A chain of five trivial steps, every step durable before the next, real fsync: 64 runs at once, and one alone.

Through the product as it is: runs created over HTTP, executed by `interplay up`, events and fences on.
Steps per second are those of a batch of queued runs, from the first commit to the last, by the
database's clock in the journal.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from benchmarks.harness.flows import CHAIN
from benchmarks.harness.ours import ours
from benchmarks.harness.result import Result
from interplay.client import AsyncClient

STEPS = 5


async def run(quick: bool) -> Result:
    result = Result("engine")
    rounds, runs = (3, 4_000) if quick else (5, 12_000)
    with ours("--workers", "0") as machine:
        async with AsyncClient(machine.url, machine.key) as client:
            await client.flows.put("chain", CHAIN)
            worker = machine.start("serve", "worker", INTERPLAY_WORKER_CAPACITY="64")
            await _batch(client, f"warm-{time.time()}", 500)
            speeds = []
            for number in range(rounds):
                worker.terminate()
                await asyncio.to_thread(worker.wait)
                batch = await queued(client, f"round-{number}-{time.time()}", runs)
                worker = machine.start("serve", "worker", INTERPLAY_WORKER_CAPACITY="64")
                speeds.append(await speed(client, batch, runs))
    result.figure("interplay", "durable steps, 64 runs at once", "steps/s", speeds)
    with ours() as machine:
        async with AsyncClient(machine.url, machine.key) as client:
            await client.flows.put("chain", CHAIN)
            alone, engine = await _alone(client, 50 if quick else 300)
    result.figure("interplay", "one run of five steps, over HTTP", "ms", alone)
    median = result.figure("interplay", "one run of five steps, created to end", "ms", engine)
    result.at_least("durable steps/s at 64 runs at once", statistics.median(speeds), 8_000)
    result.at_most("one five-step run, ms median", median, 6.0)
    result.notes.append(
        "One run alone is judged from its creation to its end by the ledger's clock; HTTP is beside it."
    )
    result.notes.append("Ratios to other systems: `make bench-peers SCENARIO=engine`, in one run with them.")
    return result


async def queued(client: AsyncClient, name: str, runs: int) -> str:
    batch = ""
    for start in range(0, runs, 1_000):
        rows = [{"key": str(i), "inputs": {"x": i}} for i in range(start, start + 1_000)]
        batch = (await client.batches.create(name, "chain", rows))["batch"]
    return batch


async def _batch(client: AsyncClient, name: str, runs: int) -> None:
    rows = [{"key": str(i), "inputs": {"x": i}} for i in range(runs)]
    batch = (await client.batches.create(name, "chain", rows))["batch"]
    while (await client.batches.get(batch))["by_status"].get("succeeded", 0) < runs:
        await asyncio.sleep(0.05)


async def speed(client: AsyncClient, batch: str, runs: int) -> float:
    """From the first run's end to the last's, by the ledger's clock; the first 64 are the start-up."""
    while (await client.batches.get(batch))["by_status"].get("succeeded", 0) < runs:
        await asyncio.sleep(1.0)  # the question costs the ledger something too
    ends: list[float] = []
    cursor = None
    while True:
        page = await client.runs.list(batch=batch, limit=200, cursor=cursor)
        ends += [item["finished_at"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    ends.sort()
    return (len(ends) - 64) * STEPS / (ends[-1] - ends[63])


async def _alone(client: AsyncClient, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds as the caller sees it, and from the run's creation to its end by the ledger's clock."""
    outside, inside = [], []
    for number in range(count + 20):
        began = time.perf_counter()
        view = await client.runs.create("chain", {"x": number}, wait=10)
        if number >= 20:
            outside.append((time.perf_counter() - began) * 1000)
            inside.append((view["finished_at"] - view["created_at"]) * 1000)
    return outside, inside

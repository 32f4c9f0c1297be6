"""kill -9 of a worker with 1,000 runs in flight: how long until the first new commit, what is lost or done twice.

With another worker beside it, as a deployment has; and with none, where a new one is started at the kill. That one
holds a lease of its own first: before that it cannot know that it is not the ledger that was away.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.harness.flows import SLOW
from benchmarks.harness.ours import ours
from benchmarks.harness.result import Result
from interplay.client import AsyncClient

RUNS = 1_000
MOST = 300.0  # seconds after the kill; what has not succeeded by then is lost


async def run(quick: bool) -> Result:
    result = Result("takeover")
    times: list[float] = []
    lost = twice = 0
    alone: list[float] = []
    for beside, found in [(True, times), (False, alone)] * (1 if quick else 3):
        seconds, gone, double = await _once(beside)
        found.append(seconds)
        lost, twice = lost + gone, twice + double
    slowest = max(times)
    result.figure("interplay", "kill -9 to the first new commit", "s", times)
    result.figure("interplay", "the same, the only worker killed", "s", alone)
    result.at_most("first new commit, s (default lease of 10 s)", slowest, 12.0)
    result.at_most("runs lost", lost, 0)
    result.at_most("steps committed twice", twice, 0)
    return result


async def _once(beside: bool) -> tuple[float, int, int]:
    with ours("--workers", "0") as machine:
        async with AsyncClient(machine.url, machine.key) as client:
            await client.flows.put("slow", SLOW)
            victim = machine.start("serve", "worker")
            rows = [{"key": str(i), "inputs": {"x": i}} for i in range(RUNS)]
            batch = (await client.batches.create(f"takeover-{time.time()}", "slow", rows))["batch"]
            while (await client.batches.get(batch))["by_status"].get("running", 0) < RUNS:
                await asyncio.sleep(0.05)
            if beside:
                machine.start("serve", "worker")
                await asyncio.sleep(1.0)
            killed_at = time.time()
            victim.kill()
            victim.wait()
            gone_at = time.time()  # what was committed until then may be the victim's own
            if not beside:
                machine.start("serve", "worker")
            done = 0
            while done < RUNS and time.time() - killed_at < MOST:
                await asyncio.sleep(0.25)
                done = (await client.batches.get(batch))["by_status"].get("succeeded", 0)
            first, twice = await _judge(client, batch, gone_at)
            return first - killed_at, RUNS - done, twice


async def _judge(client: AsyncClient, batch: str, gone_at: float) -> tuple[float, int]:
    """When the first event after that was committed, and how many steps were committed twice."""
    first, twice = float("inf"), 0
    cursor = None
    while True:
        page = await client.runs.list(batch=batch, limit=200, cursor=cursor)
        for item in page["items"]:
            events = (await client.runs.events(item["run"]))["items"]
            later = [event["at"] for event in events if event["at"] > gone_at]
            first = min([first, *later])
            done = [event["step"] for event in events if event["type"] == "step.succeeded"]
            twice += len(done) - len(set(done))
        cursor = page["next"]
        if cursor is None:
            return first, twice

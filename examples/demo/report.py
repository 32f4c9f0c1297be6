"""What the demo shows at the end, computed from what the API says, not from what was expected."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.demo.processes import INTERPLAY
from examples.demo.reviews import Review
from interplay.client import AsyncClient

Finished = dict[tuple[str, str], int]  # run and step → the number of the event that finished it


@dataclass
class Outcome:
    reviews: list[Review]
    runs: list[str]
    batch: str
    started: float = field(default_factory=time.monotonic)
    finished: float | None = None
    killed_at: float | None = None
    before: Finished = field(default_factory=dict)
    good: bool = False

    @property
    def elapsed(self) -> float:
        return max(0.001, (self.finished or time.monotonic()) - self.started)

    async def remember(self, client: AsyncClient) -> None:
        """Which steps are finished right now, before the worker dies."""
        self.before = finished(await journals(client, self.runs))[0]


async def journals(client: AsyncClient, runs: list[str]) -> dict[str, list[dict[str, Any]]]:
    room = asyncio.Semaphore(8)

    async def one(run: str) -> list[dict[str, Any]]:
        async with room:
            found: list[dict[str, Any]] = (await client.runs.events(run, limit=5000))["items"]
            return found

    return dict(zip(runs, await asyncio.gather(*(one(run) for run in runs)), strict=True))


def finished(events: dict[str, list[dict[str, Any]]]) -> tuple[Finished, int]:
    """Finished steps, and how many were finished more than once."""
    found: Finished = {}
    twice = 0
    for run, journal in events.items():
        for event in journal:
            if event["type"] == "step.succeeded":
                twice += (run, event["step"]) in found
                found.setdefault((run, event["step"]), event["seq"])
    return found, twice


async def print_report(client: AsyncClient, outcome: Outcome, home: Path) -> None:
    events = await journals(client, outcome.runs)
    views = [await client.runs.get(run) for run in outcome.runs]
    after, twice = finished(events)
    again = twice + sum(after.get(step) != seq for step, seq in outcome.before.items())
    ended = [view["status"] for view in views]
    lost = sum(status not in ("succeeded", "failed", "cancelled") for status in ended)
    succeeded = [(r, v) for r, v in zip(outcome.reviews, views, strict=True) if v["status"] == "succeeded"]
    print("Durability")
    line("rows done", f"{len(succeeded)} of {len(views)}")
    line("runs lost", lost)
    line("finished steps done again", f"{again} of {len(outcome.before)} that were finished at the kill")
    line("time to take over", takeover(events, outcome.killed_at))
    line("runs/s", f"{len(views) / outcome.elapsed:.2f} over {outcome.elapsed:.0f} s, the outage included")
    print("Agreement with the human sign")
    for name, right in accuracy(succeeded).items():
        line(name, f"{right:.0%}")
    print("Where the time went (all runs together, waiting for a model's turn included)")
    for step, seconds in busiest(events):
        line(step, f"{seconds:.1f} s")
    outcome.good = lost == 0 and again == 0 and len(succeeded) == len(views)
    replied = next((v for _, v in succeeded if v["output"]["reply"]), None)
    shown = replied or succeeded[0][1]
    print("One run")
    if replied is not None:
        print(f"  {replied['inputs']['text']}\n  → {replied['output']['reply'].strip()}")
    process = await asyncio.create_subprocess_exec(*INTERPLAY, "--home", str(home), "runs", "show", shown["run"])
    await process.wait()


def line(name: str, value: Any) -> None:
    print(f"  {name:<28} {value}")


def takeover(events: dict[str, list[dict[str, Any]]], killed_at: float | None) -> str:
    """From the kill to the first event committed by another worker of a run that the dead one held."""
    if killed_at is None:
        return "nobody was killed"
    later = [
        event["at"]
        for journal in events.values()
        if any(event["at"] <= killed_at for event in journal)
        for event in journal
        if event["at"] > killed_at
    ]
    return f"{min(later) - killed_at:.1f} s" if later else "nothing was left to take over"


def accuracy(succeeded: list[tuple[Review, dict[str, Any]]]) -> dict[str, float]:
    right: dict[str, list[bool]] = defaultdict(list)
    for review, view in succeeded:
        truth = "good" if review.rating > 0 else "bad"
        for model, label in view["output"]["answers"].items():
            right[model].append(label == truth)
        right["the vote"].append(view["output"]["vote"] == truth)
        final = {"praise": "good", "complaint": "bad"}.get(view["output"]["second"], view["output"]["vote"])
        right["with the second opinion"].append(final == truth)
    return {name: sum(values) / len(values) for name, values in right.items()}


def busiest(events: dict[str, list[dict[str, Any]]]) -> list[tuple[str, float]]:
    spent: dict[str, float] = defaultdict(float)
    for journal in events.values():
        for event in journal:
            if event["type"] == "step.succeeded" and event["step"] not in ("opinion", "second"):
                spent[event["step"]] += event.get("seconds", 0.0)
    return sorted(spent.items(), key=lambda entry: -entry[1])[:6]

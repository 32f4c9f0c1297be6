"""Faults at random and quiet windows on a whole deployment: `make soak MINUTES=30`, and for a moment in the suite.

`INTERPLAY_SOAK_MINUTES` says how long, `INTERPLAY_SOAK_RESULT` names a file for what came of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cluster import LEASE
from tests.faults.cluster.load import Load, Seen
from tests.faults.cluster.stage import MESSAGES, MODEL, TAKEOVERS, Stage
from tests.faults.cluster.trouble import Trouble
from tests.faults.history import QUERIES as HISTORY
from tests.faults.invariants import QUERIES, violations
from tests.kafka_server import make_topic

MINUTES = float(os.environ.get("INTERPLAY_SOAK_MINUTES", "0.3"))
pytestmark = pytest.mark.timeout(MINUTES * 120 + 600)
INVARIANTS = len(QUERIES) + len(HISTORY) + 1
WINDOW = 12.0  # seconds of trouble before a quiet one
MOST_MB = 400.0  # of any process of ours


class Soak:
    """One long play on the cluster."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.trouble = Trouble(stage)
        self.load: Load = stage.load()
        self.topic = f"soak-{stage.seed}"
        self.windows = self.checked = 0
        self.largest: dict[str, float] = {}

    async def open(self) -> None:
        """A topic with its trigger, and a schedule that fires each minute."""
        cluster = self.stage.cluster
        for name, partitions in ((self.topic, 4), (f"{self.topic}-dead", 1)):
            await self.stage.do(make_topic, cluster.broker, name, partitions)
        trigger = {
            "topic": self.topic, "flow": "note", "inputs": {"n": "$message.value.n"},
            "start": "earliest", "dead_letters": f"{self.topic}-dead",
        }  # fmt: skip
        schedule = {"flow": "note", "cron": "* * * * *", "zone": "UTC", "inputs": {"n": 1}}
        async with self.load.client() as http:
            for noun, body in (("triggers", trigger), ("schedules", schedule)):
                put = await http.put(f"{cluster.urls('api')[0]}/api/v1/{noun}/{self.topic}", json=body)
                assert put.status_code < 300, put.text

    async def close(self) -> None:
        cluster = self.stage.cluster
        async with self.load.client() as http:
            for noun in ("triggers", "schedules"):
                gone = await http.delete(f"{cluster.urls('api')[0]}/api/v1/{noun}/{self.topic}")
                assert gone.status_code < 300, gone.text

    async def unread(self, seen: Seen) -> set[str]:
        """Messages that the broker had and that started no run, after some patience."""
        left: set[str] = set(seen.messages)

        async def none_left() -> bool:
            nonlocal left
            left = seen.messages - {row["place"] for row in await self.stage.rows(MESSAGES)}
            return not left

        with contextlib.suppress(TimeoutError):
            await self.stage.until(none_left, 60.0)
        return left

    async def play(self, seconds: float) -> Seen:
        stage, load = self.stage, self.load
        callers = [
            load.start_runs("calls", 0.3, url=stage.provider.url),
            load.start_runs("note", 0.3),
            load.call(MODEL, 0.2),
            load.call(MODEL, 0.2),
            load.write(stage.cluster.broker, self.topic, 0.2),
        ]
        until = time.monotonic() + seconds
        async with load.going(*callers) as seen:
            await stage.progress(seen)
            while time.monotonic() < until:
                quiet_at = time.monotonic() + stage.dice.uniform(0.5, 1.5) * WINDOW
                while time.monotonic() < min(until, quiet_at):
                    await self.trouble.one()
                    await load.pause(1.0)
                await self._quiet(seen)
        return seen

    async def _quiet(self, seen: Seen) -> None:
        """Once everything is there again, it gets on (I11); what can be asked while it goes on, holds."""
        await self.stage.whole()
        await self.stage.progress(seen)
        found = await violations(self.stage.cluster.database, LEASE)
        assert {name: count for name, count in found.items() if not name.startswith("I1 ")} == {}, (
            "runs go on: I1 later"
        )
        self._weigh()
        self.windows += 1
        self.checked += INVARIANTS
        self.stage.note(f"quiet window {self.windows}: {len(seen.runs)} runs, {seen.calls} calls")

    def _weigh(self) -> None:
        for name in self.stage.cluster.names():
            megabytes = psutil.Process(self.stage.cluster.pid(name)).memory_info().rss / 1e6
            self.largest[name] = max(self.largest.get(name, 0.0), megabytes)


def keep(result: dict[str, Any]) -> None:
    if path := os.environ.get("INTERPLAY_SOAK_RESULT"):
        Path(path).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


class TestSoak:
    async def test_faults_at_random_lose_nothing_and_double_nothing(self, stage: Stage) -> None:
        soak = Soak(stage)
        await soak.open()
        before = await stage.ask(TAKEOVERS)
        began = time.monotonic()
        seen = await soak.play(MINUTES * 60)
        lost = len(await soak.unread(seen))  # acknowledged runs that are not there fail the check below
        await soak.close()
        counted = await stage.check(seen)
        result: dict[str, Any] = {
            "minutes": round((time.monotonic() - began) / 60, 1),
            "seed": stage.seed,
            "runs": counted["runs"] + counted["messages"],
            "of them by messages": counted["messages"],
            "gateway calls": seen.calls,
            "gateway calls broken off by a kill": len(seen.broken),
            "gateway calls answered with an error": len(seen.refused),
            "faults": sum(soak.trouble.counted.values()),
            "faults by kind": dict(sorted(soak.trouble.counted.items())),
            "quiet windows": soak.windows,
            "takeovers": await stage.ask(TAKEOVERS) - before,
            "lost": lost,
            "doubled": counted["doubled"],
            "invariants checked": soak.checked + INVARIANTS,
            "largest process in MB": round(max(soak.largest.values())),
        }
        print(json.dumps(result, indent=2))
        keep(result)
        stage.figures += [f"seed {stage.seed}", *(f"{result[name]} {name}" for name in ("runs", "faults", "takeovers"))]
        assert (lost, seen.refused) == (0, [])
        assert result["faults"] >= MINUTES * 5, "it was troubled"
        assert soak.windows >= max(1, int(MINUTES * 60 / (6 * WINDOW))), "it had time to recover"
        assert max(soak.largest.values()) < MOST_MB, soak.largest

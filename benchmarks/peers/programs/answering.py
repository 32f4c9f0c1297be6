"""Shared by the programs here: callers that send one job after the other, asked for over standard input.

These files run in the peers' environments, so they import nothing of this repository but each other.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

CHAIN_OF_ONE = 6  # what a chain of five additions makes of 1


def answers() -> TextIO:
    """Where answers go; what libraries print goes to the log instead."""
    kept = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return kept


async def answer_with_tasks(job: Callable[[], Awaitable[int]], to: TextIO) -> None:
    """Callers are asyncio tasks."""
    say(to, {"ready": True})
    while line := await asyncio.to_thread(sys.stdin.readline):
        question = json.loads(line)
        latencies: list[float] = []
        began = time.perf_counter()
        callers = (_task(job, began + question["seconds"], latencies) for _ in range(question["at_once"]))
        await asyncio.gather(*callers)
        say(to, {"seconds": time.perf_counter() - began, "latencies": latencies})


async def _task(job: Callable[[], Awaitable[int]], end: float, latencies: list[float]) -> None:
    while (began := time.perf_counter()) < end:
        check(await job())
        latencies.append((time.perf_counter() - began) * 1000)


def answer_with_threads(job: Callable[[], int], to: TextIO) -> None:
    """Callers are threads."""
    say(to, {"ready": True})
    for line in sys.stdin:
        question = json.loads(line)
        latencies: list[float] = []
        began = time.perf_counter()
        with ThreadPoolExecutor(question["at_once"]) as threads:
            end = began + question["seconds"]
            callers = [threads.submit(_thread, job, end, latencies) for _ in range(question["at_once"])]
        for caller in callers:
            caller.result()
        say(to, {"seconds": time.perf_counter() - began, "latencies": latencies})


def _thread(job: Callable[[], int], end: float, latencies: list[float]) -> None:
    while (began := time.perf_counter()) < end:
        check(job())
        latencies.append((time.perf_counter() - began) * 1000)


def check(found: int) -> None:
    if found != CHAIN_OF_ONE:
        raise AssertionError(f"the chain made {found}, not {CHAIN_OF_ONE}")


def say(to: TextIO, answer: dict[str, Any]) -> None:
    to.write(json.dumps(answer) + "\n")

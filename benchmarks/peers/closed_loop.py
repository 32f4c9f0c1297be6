"""Callers over HTTP: one request after the other, each caller on a connection of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.harness.caller import Caller
from benchmarks.peers.peer import Measured, NotHad, Work


@dataclass(frozen=True)
class Target:
    """`fresh`: a new connection for each request, so that the processes of a server share them as they have time."""

    url: str
    key: str = "none"
    headers: Mapping[str, str] = field(default_factory=dict)
    fresh: bool = False

    async def connected(self) -> Caller:
        return await Caller.connected(self.url, self.key, self.headers)


async def closed_loop(target: Target, work: Work, job: Callable[[Caller], Awaitable[None]]) -> Measured:
    """`job` sends one request and checks its answer. The last jobs are waited for, and their time counts."""
    latencies: list[float] = []
    end = time.perf_counter() + work.seconds

    async def caller() -> None:
        connection = await target.connected()
        try:
            while (began := time.perf_counter()) < end:
                if target.fresh:
                    connection.close()
                    connection = await target.connected()
                await job(connection)
                latencies.append((time.perf_counter() - began) * 1000)
        finally:
            connection.close()

    began = time.perf_counter()
    try:
        await asyncio.gather(*(caller() for _ in range(work.at_once)))
    except (AssertionError, OSError, EOFError) as wrong:
        raise NotHad(f"{target.url} answered wrongly: {str(wrong)[:300]}") from None
    return Measured(len(latencies) / (time.perf_counter() - began), latencies)

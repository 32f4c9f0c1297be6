"""Shelves are made ahead and dropped while runs commit; runs that still wait are carried forward."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from interplay.adapters.postgres.maintenance import Maintenance
from interplay.core.runs.status import RunStatus
from tests.faults.conftest import Bench, new_id
from tests.faults.test_kills import CHAIN

pytestmark = pytest.mark.timeout(120)
WAITING = """
flow: waiting
inputs: {n: integer}
steps:
  a: {set: {v: "${ inputs.n + 1 }"}}
  w: {wait: {signal: go}, after: [a]}
output: $a.v
"""
OLD = 40  # days


async def aged(bench: Bench, runs: list[UUID]) -> int:
    """Puts runs onto a shelf of long ago; gives its number."""
    connection = await asyncpg.connect(bench.url)
    shelf: int = await connection.fetchval("select min(shelf) from run") - OLD
    await connection.execute(f"create table journal_{shelf} (like journal including all)")
    await connection.execute(
        f"alter table journal attach partition journal_{shelf} for values from ({shelf}) to ({shelf + 1})"
    )
    await connection.execute("update journal set shelf = $1 where run_id = any($2::uuid[])", shelf, runs)
    await connection.execute("update run set shelf = $1 where run_id = any($2::uuid[])", shelf, runs)
    await connection.close()
    return shelf


class TestRetention:
    async def test_ended_runs_go_and_waiting_ones_go_on(self, bench: Bench) -> None:
        worker = bench.worker()
        ended = await bench.start(CHAIN, 5)
        waiting = await bench.start(WAITING, 5)
        await bench.until("waiting", 5)
        await bench.until("succeeded", 5)
        worker.terminate()
        await asyncio.to_thread(worker.wait)
        shelf = await aged(bench, ended + waiting)
        assert shelf in await Maintenance(bench.database).retire(30)
        bench.created = waiting
        connection = await asyncpg.connect(bench.url)
        assert await connection.fetchval(f"select to_regclass('journal_{shelf}')") is None
        assert await connection.fetchval("select count(*) from run where run_id = any($1::uuid[])", ended) == 0
        await connection.close()
        for run in waiting:
            assert (await bench.runs.get(1, run)).status is RunStatus.WAITING
            await bench.runs.signal(1, run, new_id(), "go", b"\xc0")
        bench.worker()
        await bench.until_ended()
        await bench.check()

    async def test_commits_go_on_while_a_shelf_is_dropped_under_a_reader(self, bench: Bench) -> None:
        bench.worker()
        old = await bench.start(CHAIN, 5)
        await bench.until("succeeded", 5)
        shelf = await aged(bench, old)
        bench.created = []
        reader = await asyncpg.connect(bench.url)
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetchval(f"select count(*) from journal_{shelf}")
        dropping: asyncio.Task[Any] = asyncio.create_task(Maintenance(bench.database).retire(30))
        began = time.monotonic()
        await bench.start(CHAIN, 300)
        await bench.until("succeeded", 300)
        assert time.monotonic() - began < 10, "commits waited for the shelf"
        await transaction.rollback()
        await reader.close()
        await asyncio.wait([dropping])
        await bench.check()

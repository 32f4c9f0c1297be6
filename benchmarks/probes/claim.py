"""How long a claim takes: the very statement of the workers, on a connection of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.embedded.attach import url_of_running
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.core.ids import uuid7

CLAIMED, CLAIMS = 64, 40  # runs in one claim; claims in one measurement


async def claim_times(home: Path) -> list[float]:
    """Milliseconds of each of a row of claims, by a worker that then gives everything back."""
    database = Database(url_of_running(home / "postgres") or "")
    queue, worker_id, times = PostgresRunQueue(database), uuid7(time.time_ns() // 1_000_000, os.urandom(10)), []
    try:
        await queue.register(worker_id, "default", CLAIMED * CLAIMS, 60.0)
        for _ in range(CLAIMS):
            began = time.perf_counter()
            claimed = await queue.claim(worker_id, "default", CLAIMED)
            times.append((time.perf_counter() - began) * 1000)
            assert len(claimed) == CLAIMED
        await queue.retire(worker_id)
    finally:
        await queue.close()
        await database.close()
    return times[1:]  # the first prepares the statement

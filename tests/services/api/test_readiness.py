"""`/readyz` tells of parts of the machine that ended, and that they are back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.watch import Watch

# every claim raises what no worker expects of the ledger
BREAK = """create function refuse() returns trigger language plpgsql as
  $$ begin raise exception 'refused by the test' using errcode = '22000'; end $$;
create trigger refuse before update on run for each statement execute function refuse()"""
MEND = "drop trigger refuse on run"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def readiness(http: httpx.AsyncClient, status: int) -> dict[str, Any]:
    """The first answer with this status."""
    async with asyncio.timeout(30):
        while (answer := await http.get("/readyz")).status_code != status:
            await asyncio.sleep(0.02)
    found: dict[str, Any] = answer.json()
    return found


class TestReadiness:
    async def test_a_worker_that_ended_is_told_of_and_comes_back(
        self, http: httpx.AsyncClient, client: AsyncClient, database: asyncpg.Connection
    ) -> None:
        assert (await readiness(http, 200))["status"] == "ready"
        await database.execute(BREAK)
        assert "refused by the test" in (await readiness(http, 503))["reasons"]["worker"]
        await database.execute(MEND)
        assert (await readiness(http, 200))["reasons"] == {}
        await client.flows.put("probe", "flow: probe\nsteps:\n  a: {set: {v: 1}}\noutput: $a.v\n")
        assert (await client.runs.create("probe", {}, wait=20))["output"] == 1


class TestWatch:
    async def test_what_ends_at_once_after_each_start_stays_ailing(self) -> None:
        watch, starts, third = Watch(0.01), [], asyncio.Event()
        told: list[bool] = []

        async def work() -> None:
            starts.append(1)
            told.append("part" in watch.ailing)
            if len(starts) == 3:
                third.set()
                await asyncio.sleep(3600)
            raise ValueError("as the test says")

        async def well() -> None:
            return None

        task = asyncio.create_task(watch.keep("part", work, well))
        await third.wait()
        assert told == [False, True, True]
        async with asyncio.timeout(5):
            while watch.ailing:
                await asyncio.sleep(0.005)
        task.cancel()

    async def test_what_has_done_its_work_is_not_started_again(self) -> None:
        watch, starts = Watch(0.01), []

        async def work() -> None:
            starts.append(1)

        await watch.keep("part", work, work)
        assert (len(starts), watch.ailing) == (1, {})

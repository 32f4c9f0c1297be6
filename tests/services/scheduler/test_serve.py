"""`interplay serve scheduler` as a process: alone, before its database, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from tests.service_process import ServiceProcess


@asynccontextmanager
async def scheduler(home: Path, url: str, *arguments: str, **settings: str) -> AsyncIterator[ServiceProcess]:
    environment = {**os.environ, "INTERPLAY_HOME": str(home), "INTERPLAY_DATABASE_URL": url, **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "interplay.cli", "serve", "scheduler", *arguments,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield ServiceProcess("scheduler", process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def readiness(http: httpx.AsyncClient, status: int) -> dict[str, Any]:
    """The first answer with this status."""
    async with asyncio.timeout(60):
        while (answer := await http.get("/readyz")).status_code != status:
            await asyncio.sleep(0.05)
    found: dict[str, Any] = answer.json()
    return found


class TestTheProcess:
    async def test_alone_it_is_ready_counts_and_drains(self, database_url: str, tmp_path: Path) -> None:
        async with scheduler(tmp_path, database_url, INTERPLAY_PORT="0") as running:
            async with await running.client() as http:
                assert await readiness(http, 200) == {"status": "ready", "reasons": {}}
                assert (await http.get("/healthz")).json() == {"status": "live"}
                counted = (await http.get("/metrics")).text
                assert "interplay_schedule_late_seconds_count 0" in counted
                while "interplay_housekeeping_rounds_total 1" not in (await http.get("/metrics")).text:
                    await asyncio.sleep(0.05)
                assert "interplay_database_up 1" in counted
                strange = await http.get("/api/v1/schedules")
                assert (strange.status_code, strange.json()["title"]) == (404, "Not found")
            await running.until_said("ready: fires schedules")
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
            assert "stopped" in running.said[-1]

    async def test_before_its_database_it_answers_waits_and_says_so(self, tmp_path: Path) -> None:
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        url = await postgres.start()
        await postgres.stop()
        async with scheduler(tmp_path, url, INTERPLAY_PORT="0") as running, await running.client() as http:
            await running.until_said("waiting for the database: ")
            assert (await http.get("/healthz")).status_code == 200
            assert "database" in (await readiness(http, 503))["reasons"]
            assert "interplay_database_up 0" in (await http.get("/metrics")).text
            await postgres.start()
            assert (await readiness(http, 200))["reasons"] == {}
            await postgres.stop()
            assert "database" in (await readiness(http, 503))["reasons"]
            await postgres.start()
            await readiness(http, 200)
            await running.until_said("the database is back")
        await postgres.stop()

    async def test_asked_to_stop_while_it_waits_it_stops(self, tmp_path: Path) -> None:
        nobody = "postgresql://nobody@127.0.0.1:1/none"
        async with scheduler(tmp_path, nobody, INTERPLAY_PORT="0") as running:
            await running.until_said("waiting for the database: ")
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0

    async def test_a_port_that_is_taken_matters_only_when_it_was_named(self, database_url: str, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = str(other.getsockname()[1])
            async with scheduler(tmp_path, database_url, INTERPLAY_PORT=taken) as running:
                assert await running.ended() == 3
                assert f"Port {taken}" in "".join(running.said)
        async with scheduler(tmp_path, database_url) as first, scheduler(tmp_path, database_url) as second:
            for running in (first, second):
                async with await running.client() as http:
                    await readiness(http, 200)

    async def test_checks_its_settings_and_ends(self, database_url: str, tmp_path: Path) -> None:
        async with scheduler(tmp_path, database_url, "--check") as running:
            assert await running.ended() == 0
            assert "settings are valid" in "".join(running.said)
        async with scheduler(tmp_path, "postgresql://nobody@127.0.0.1:1/none", "--check") as running:
            assert await running.ended() == 3


@pytest.mark.parametrize("name", ["INTERPLAY_PORT", "INTERPLAY_DRAIN_SECONDS"])
async def test_a_wrong_setting_stops_it_and_is_named(name: str, tmp_path: Path) -> None:
    async with scheduler(tmp_path, "postgresql://x", **{name: "many"}) as running:
        assert await running.ended() == 3
        assert name in "".join(running.said)

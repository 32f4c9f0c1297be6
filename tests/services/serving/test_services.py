"""Every service as a process: alone, before its database, in any order, and how it ends."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from interplay.adapters.postgres.embedded import EmbeddedPostgres
from tests.service_process import readiness, service

pytestmark = pytest.mark.timeout(180)
NOBODY = "postgresql://nobody@127.0.0.1:1/none"
KEY = "ik_a-key-that-the-tests-of-services-share"
ON_DATABASE = ("api", "gateway", "worker", "scheduler")
COUNTS = {
    "api": "interplay_http_requests_total",
    "gateway": "interplay_gateway_snapshot_version",
    "worker": "interplay_worker_lease_left_seconds",
    "scheduler": "interplay_scheduler_rounds_total",
}


@pytest.fixture
def postgres(tmp_path: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path / "postgres")


async def address_of(postgres: EmbeddedPostgres) -> str:
    """Of a database that is not there yet."""
    url = await postgres.start()
    await postgres.stop()
    return url


class TestAlone:
    @pytest.mark.parametrize("name", ON_DATABASE)
    async def test_before_its_database_it_answers_waits_and_says_so_once(
        self, name: str, postgres: EmbeddedPostgres, tmp_path: Path
    ) -> None:
        url = await address_of(postgres)
        async with (
            service(name, tmp_path, INTERPLAY_DATABASE_URL=url, INTERPLAY_KEY=KEY) as running,
            await running.client() as http,
        ):
            await running.until_said("waiting for the database: ")
            assert (await http.get("/healthz")).json() == {"status": "live"}
            assert "does not answer" in (await readiness(http, "not ready"))["reasons"]["database"]
            early = await http.post("/v1/chat/completions", json={})
            assert (early.status_code, early.headers["retry-after"]) == (503, "1")
            assert "interplay_database_up 0" in (await http.get("/metrics")).text
            await asyncio.gather(*(http.get("/readyz") for _ in range(20)))
            assert sum("waiting for the database" in line for line in running.said) == 1
            await postgres.start()
            try:
                assert (await readiness(http, "ready"))["reasons"] == {}
                await running.until_said("ready: ")
                counted = (await http.get("/metrics")).text
                assert COUNTS[name] in counted
                assert "interplay_event_loop_lag_seconds " in counted
                running.process.send_signal(signal.SIGTERM)
                assert await running.ended() == 0
                assert "stopped" in running.said[-1]
            finally:
                await postgres.stop()

    @pytest.mark.parametrize("name", [*ON_DATABASE, "migrate"])
    async def test_asked_to_stop_while_it_waits_it_stops(self, name: str, tmp_path: Path) -> None:
        async with service(name, tmp_path, INTERPLAY_DATABASE_URL=NOBODY, INTERPLAY_KEY=KEY) as running:
            await running.until_said("waiting for the database: ")
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0

    async def test_the_model_server_needs_nobody(self, tmp_path: Path) -> None:
        async with service("model-server", tmp_path) as running:
            address = (await running.until_said(r"address=(\S+)"))[1]
            assert address.startswith("http://127.0.0.1:")
            running.process.send_signal(signal.SIGTERM)
            assert await running.ended() == 0


class TestTogether:
    async def test_in_any_order_they_come_up_when_the_database_does(
        self, postgres: EmbeddedPostgres, tmp_path: Path
    ) -> None:
        """Two of each, and the one that migrates, on a database that none has seen."""
        seed = int(os.environ.get("INTERPLAY_TEST_SEED", random.randrange(2**32)))
        print(f"INTERPLAY_TEST_SEED={seed}")
        chance = random.Random(seed)
        names = [*ON_DATABASE, *ON_DATABASE, "migrate"]
        chance.shuffle(names)
        comes_at = chance.randrange(len(names))
        url = await address_of(postgres)
        async with AsyncExitStack() as stack:
            started = []
            for place, name in enumerate(names):
                if place == comes_at:
                    await postgres.start()
                    stack.push_async_callback(postgres.stop)
                made = service(name, tmp_path / name, INTERPLAY_DATABASE_URL=url, INTERPLAY_KEY=KEY)
                started.append(await stack.enter_async_context(made))
            for running in started:
                await running.until_said("ready: ")
                if running.name == "migrate":
                    assert await running.ended() == 0
                    continue
                async with await running.client() as http:
                    await readiness(http, "ready")
            going = [running for running in started if running.name != "migrate"]
            for running in going:
                running.process.send_signal(signal.SIGTERM)
            for running in going:
                assert await running.ended() == 0, "".join(running.said)
                assert not any("Traceback" in line for line in running.said)


class TestWhileTheDatabaseIsAway:
    async def test_each_says_so_and_a_gateway_goes_on(self, postgres: EmbeddedPostgres, tmp_path: Path) -> None:
        url = await postgres.start()
        says = {"api": "not ready", "worker": "not ready", "scheduler": "not ready", "gateway": "degraded"}
        async with AsyncExitStack() as stack:
            clients = {}
            for name in says:
                settings = {"INTERPLAY_DATABASE_URL": url, "INTERPLAY_KEY": KEY, "INTERPLAY_LEASE_SECONDS": "2"}
                running = await stack.enter_async_context(service(name, tmp_path / name, **settings))
                clients[name] = await stack.enter_async_context(await running.client())
            for http in clients.values():
                await readiness(http, "ready")
            await postgres.stop()
            for name, status in says.items():
                assert (await readiness(clients[name], status))["reasons"]["database"]
                assert "interplay_database_up 0" in (await clients[name].get("/metrics")).text
            headers = {"Authorization": f"Bearer {KEY}"}
            assert (await clients["gateway"].get("/v2/health/live")).status_code == 200
            assert (await clients["gateway"].get("/v1/models", headers=headers)).status_code != 404
            await postgres.start()
            try:
                for http in clients.values():
                    await readiness(http, "ready")
            finally:
                await postgres.stop()


class TestCheck:
    @pytest.mark.parametrize("name", [*ON_DATABASE, "migrate", "model-server"])
    async def test_says_good(self, name: str, database_url: str, tmp_path: Path) -> None:
        async with service(name, tmp_path, "--check", INTERPLAY_DATABASE_URL=database_url) as running:
            assert await running.ended() == 0, "".join(running.said)
            assert "settings are valid" in "".join(running.said)

    @pytest.mark.parametrize("name", ON_DATABASE)
    async def test_says_bad_where_the_database_is_not_reached(self, name: str, tmp_path: Path) -> None:
        async with service(name, tmp_path, "--check", INTERPLAY_DATABASE_URL=NOBODY) as running:
            assert await running.ended() == 3
            assert "The database does not answer" in "".join(running.said)

    @pytest.mark.parametrize("name", ["api", "worker", "scheduler"])
    async def test_says_bad_where_the_broker_is_not_reached(self, name: str, database_url: str, tmp_path: Path) -> None:
        settings = {"INTERPLAY_DATABASE_URL": database_url, "INTERPLAY_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
        async with service(name, tmp_path, "--check", **settings) as running:
            assert await running.ended() == 3
            assert "The broker at 127.0.0.1:1 does not answer" in "".join(running.said)

    async def test_says_bad_where_a_worker_lacks_its_extensions(self, database_url: str, tmp_path: Path) -> None:
        settings = {"INTERPLAY_DATABASE_URL": database_url, "INTERPLAY_EXTENSIONS": str(tmp_path / "none.yaml")}
        async with service("worker", tmp_path, "--check", **settings) as running:
            assert await running.ended() == 3
            assert "none.yaml" in "".join(running.said)

    async def test_a_wrong_setting_is_named(self, tmp_path: Path) -> None:
        async with service("worker", tmp_path, "--check", INTERPLAY_LEASE_SECONDS="long") as running:
            assert await running.ended() == 3
            assert "INTERPLAY_LEASE_SECONDS" in "".join(running.said)

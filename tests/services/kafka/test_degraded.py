"""Services beside a broker that is away: PostgreSQL carries on, and they say that they are degraded."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.service_process import readiness, service
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(120)
KEY = "ik_a-key-that-the-tests-of-services-share"


async def test_degraded_until_the_broker_comes_and_when_it_goes(database_url: str, tmp_path: Path) -> None:
    broker = KafkaBroker(tmp_path / "kafka")
    settings = {"INTERPLAY_DATABASE_URL": database_url, "INTERPLAY_KAFKA_BOOTSTRAP": broker.bootstrap}
    async with AsyncExitStack() as stack:
        clients = {}
        for name in ("worker", "scheduler", "api"):
            running = await stack.enter_async_context(service(name, tmp_path / name, INTERPLAY_KEY=KEY, **settings))
            clients[running] = await stack.enter_async_context(await running.client())
        for running, http in clients.items():
            said = await readiness(http, "degraded")
            assert broker.bootstrap in said["reasons"]["broker"]
            assert 'interplay_waits_for{part="broker"} 1' in (await http.get("/metrics")).text
            assert sum("waiting for the broker" in line for line in running.said) == 1
        broker.start()
        try:
            for running, http in clients.items():
                assert (await readiness(http, "ready"))["reasons"] == {}
                await running.until_said("the broker is there")
        finally:
            broker.stop()
        for http in clients.values():
            await readiness(http, "degraded")

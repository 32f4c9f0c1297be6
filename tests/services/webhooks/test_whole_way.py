"""The whole way of an event, from the commit of a step to the receiver: by the ledger alone, and through a topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from interplay.client import AsyncClient
from interplay.core.topics_of_ours import TOPICS, named
from interplay.services.all_in_one.machine import run_machine
from interplay.settings import load_settings
from tests.kafka_server import fresh_topic
from tests.services.webhooks.conftest import FLOW
from tests.webhook_receiver import Receiver
from tools.kafka import KafkaBroker

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["ledger", "topic"])
async def whole(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[AsyncClient]:
    """A machine that does everything by itself."""
    more: dict[str, Any] = {}
    if request.param == "topic":
        broker: KafkaBroker = request.getfixturevalue("kafka")
        namespace = f"w{abs(hash(tmp_path)) % 10**12}"
        for topic in TOPICS:
            fresh_topic(broker, topic.partitions, named(topic, namespace))
        more = {"kafka_bootstrap": broker.bootstrap, "kafka_namespace": namespace}
    settings = load_settings(
        home=tmp_path / "home", database_url=database_url, port=0, egress_allow="127.0.0.0/8", **more
    )
    async with run_machine(settings, announce=False) as machine, AsyncClient(machine.url, machine.token) as client:
        await client.flows.put("greet", FLOW)
        yield client


class TestTheWholeWay:
    async def test_each_run_that_ends_is_told_once(self, whole: AsyncClient, receiver: Receiver) -> None:
        made = await whole.webhooks.put("hook", f"{receiver.url}/a")
        runs = await asyncio.gather(*(whole.runs.create("greet", {"name": f"n{n}"}, wait=30) for n in range(20)))
        got = await receiver.until(lambda calls: len(calls) >= 20, 60)
        assert all(one.believed(made["secret"]) for one in got)
        assert sorted(one.body["data"]["run"] for one in got) == sorted(run["run"] for run in runs)
        outputs = {one.body["data"]["run"]: one.body["data"]["output"] for one in got}
        assert outputs == {run["run"]: run["output"] for run in runs}

    async def test_one_that_waits_and_is_cancelled_is_told_both(self, whole: AsyncClient, receiver: Receiver) -> None:
        await whole.flows.put("asks", 'flow: asks\nsteps: {ok: {approve: {who: [anybody], show: "?"}}}\n')
        await whole.webhooks.put("hook", f"{receiver.url}/a", events=["step.waiting", "run.cancelled"])
        run = await whole.runs.create("asks", {})
        await receiver.until(lambda calls: len(calls) >= 1, 60)
        await whole.runs.cancel(run["run"])
        got = await receiver.until(lambda calls: len(calls) >= 2, 60)
        assert [one.body["type"] for one in got] == ["step.waiting", "run.cancelled"]
        assert {one.body["data"]["run"] for one in got} == {run["run"]}

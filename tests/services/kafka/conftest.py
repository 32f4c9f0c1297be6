"""A whole machine in this process beside a real Kafka."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tools.kafka import KafkaBroker


@pytest.fixture
async def machine(database_url: str, tmp_path: Path, kafka: KafkaBroker) -> AsyncIterator[Machine]:
    settings = load_settings(
        home=tmp_path / "home", database_url=database_url, port=0, kafka_bootstrap=kafka.bootstrap, lease_seconds=5.0
    )
    async with run_machine(settings, announce=False) as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(machine.url, machine.token) as made:
        yield made

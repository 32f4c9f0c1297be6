"""A whole machine in this process, over a database of the test's own, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from interplay.client import AsyncClient
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from tests.provider_server import ProviderServer, provider_server


@pytest.fixture
async def machine(database_url: str, tmp_path: Path) -> AsyncIterator[Machine]:
    settings = load_settings(
        home=tmp_path / "home", database_url=database_url, port=0, egress_allow="127.0.0.0/8", lease_seconds=5.0
    )
    async with run_machine(settings, announce=False) as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(machine.url, machine.token) as made:
        yield made


@pytest.fixture
async def http(machine: Machine) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {machine.token}"}
    async with httpx.AsyncClient(base_url=machine.url, headers=headers, trust_env=False) as made:
        yield made


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with provider_server() as running:
        yield running

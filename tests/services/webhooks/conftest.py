"""A machine without a scheduler, so that each test delivers by itself, with waits that are worth waiting for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from interplay.client import AsyncClient
from interplay.core.runs.events import EventKind, decode_body
from interplay.core.runs.log import LoggedEvent
from interplay.services.all_in_one.machine import Machine, run_machine
from interplay.settings import load_settings
from interplay.use_cases.deliver_webhooks import DeliverWebhooks, DeliveryOptions
from tests.webhook_receiver import Receiver, webhook_receiver

FLOW = """
flow: greet
inputs: {name: string}
steps: {a: {set: {said: "${ 'Hello, ' + inputs.name }"}}}
output: {said: $a.said}
"""
Delivering = Callable[..., AbstractAsyncContextManager[DeliverWebhooks]]


@pytest.fixture
async def machine(database_url: str, tmp_path: Path) -> AsyncIterator[Machine]:
    settings = load_settings(home=tmp_path / "home", database_url=database_url, port=0, egress_allow="127.0.0.0/8")
    async with run_machine(settings, announce=False, fires=False) as running:
        yield running


@pytest.fixture
async def client(machine: Machine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(machine.url, machine.token) as made:
        await made.flows.put("greet", FLOW)
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with webhook_receiver() as running:
        yield running


@pytest.fixture
def delivering(machine: Machine) -> Delivering:
    @contextlib.asynccontextmanager
    async def made(*waits: float, **options: Any) -> AsyncIterator[DeliverWebhooks]:
        parts = machine.platform.webhooks
        chosen = DeliveryOptions(waits=waits or (0.05, 0.05), poll=0.05, **options)
        deliverer = DeliverWebhooks(parts.store, parts.sender, machine.platform.bus, chosen)
        running = asyncio.create_task(deliverer.run())
        try:
            yield deliverer
        finally:
            deliverer.stop()
            await running

    return made


async def logged(machine: Machine, run: str) -> list[LoggedEvent]:
    """The events of a run as the event log tells them."""
    record = await machine.platform.runs.get(1, UUID(run))
    found = []
    for event in await machine.platform.runs.events(1, UUID(run), 0, 100):
        body = decode_body(event.kind, event.body)
        facts = {name: msgspec.to_builtins(getattr(body, name)) for name in body.__struct_fields__}
        place = (UUID(run), event.seq, EventKind(event.kind), event.at, 1, record.flow_name, record.flow_version)
        found.append(LoggedEvent(*place, event.step_key, event.attempt, facts))
    return found


async def ran(machine: Machine, client: AsyncClient, name: str = "Ada") -> list[LoggedEvent]:
    """The events of a run that has ended."""
    run = await client.runs.create("greet", {"name": name}, wait=30)
    return await logged(machine, run["run"])

"""The implementations that the suites run on."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from interplay.adapters.memory.allowance_store import MemoryAllowanceStore
from interplay.adapters.memory.blob_store import MemoryBlobStore
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.comparison_store import MemoryComparisonStore
from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.adapters.memory.config_store import MemoryConfigStore
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.flow_store import MemoryFlowStore
from interplay.adapters.memory.key_store import MemoryKeyStore
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.log_store import MemoryLogStore
from interplay.adapters.memory.model_registry import MemoryModelRegistry
from interplay.adapters.memory.price_store import MemoryPriceStore
from interplay.adapters.memory.result_cache import MemoryResultCache
from interplay.adapters.memory.run_queue import MemoryRunQueue
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.adapters.memory.schedule_store import MemoryScheduleStore
from interplay.adapters.memory.slots import MemorySlots
from interplay.adapters.memory.trigger_store import MemoryTriggerStore
from interplay.adapters.memory.usage_store import MemoryUsageStore
from interplay.adapters.memory.webhook_store import MemoryWebhookStore
from interplay.adapters.postgres.allowance_store import PostgresAllowanceStore
from interplay.adapters.postgres.blob_store import PostgresBlobStore
from interplay.adapters.postgres.comparison_store import PostgresComparisonStore
from interplay.adapters.postgres.config_store import PostgresConfigStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.event_bus import PostgresEventBus
from interplay.adapters.postgres.flow_store import PostgresFlowStore
from interplay.adapters.postgres.key_store import PostgresKeyStore
from interplay.adapters.postgres.log_store import PostgresLogStore
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.price_store import PostgresPriceStore
from interplay.adapters.postgres.result_cache import PostgresResultCache
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schedule_store import PostgresScheduleStore
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.slots import PostgresSlots
from interplay.adapters.postgres.trigger_store import PostgresTriggerStore
from interplay.adapters.postgres.usage_store import PostgresUsageStore
from interplay.adapters.postgres.webhook_store import PostgresWebhookStore
from interplay.core.ids import uuid7
from interplay.core.runs.events import EventKind, StepSucceeded, encode_body, encode_value
from interplay.ports.run_queue import ClaimedRun, CommitBatch, JournalRow, RunChange
from interplay.ports.run_store import NewRun
from tests.postgres_server import PostgresServer, drop_database, fresh_database

VERSION = "ab" * 32


def new_id() -> UUID:
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


@dataclass
class Stores:
    """One implementation of everything that shares a ledger."""

    name: str
    queue: Any
    runs: Any
    flows: Any
    blobs: Any
    cache: Any
    slots: Any
    models: Any
    bus: Any
    allowances: Any
    keys: Any
    prices: Any
    config: Any
    usage: Any
    comparisons: Any
    schedules: Any
    triggers: Any
    log: Any
    webhooks: Any


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def migrated(postgres_server: PostgresServer) -> str:
    """The name of a database with the schema, to be copied."""
    url = await fresh_database(postgres_server)
    await migrate(url)
    database = Database(url)
    await Maintenance(database).ensure_shelves()
    await database.close()
    return url.split("?")[0].rsplit("/", 1)[1]


@pytest.fixture(params=["memory", "postgres"])
async def stores(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, migrated: str
) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield in_memory()
        return
    url = await fresh_database(postgres_server, migrated)
    database = Database(url)
    bus = PostgresEventBus(database)
    await bus.start()
    runs = PostgresRunStore(database, logged=True)
    stores = Stores(
        "postgres",
        PostgresRunQueue(database),
        runs,
        PostgresFlowStore(database),
        PostgresBlobStore(database),
        PostgresResultCache(database),
        PostgresSlots(database),
        PostgresModelRegistry(database),
        bus,
        PostgresAllowanceStore(database),
        PostgresKeyStore(database),
        PostgresPriceStore(database),
        PostgresConfigStore(database),
        PostgresUsageStore(database),
        PostgresComparisonStore(database),
        PostgresScheduleStore(database, runs),
        PostgresTriggerStore(database),
        PostgresLogStore(database),
        PostgresWebhookStore(database),
    )
    yield stores
    await stores.queue.close()
    await bus.close()
    await database.close()
    await drop_database(postgres_server, url)


def in_memory() -> Stores:
    clock = SystemClock()
    ledger, config = MemoryLedger(clock, logged=True), MemoryConfigLedger()
    runs = MemoryRunStore(ledger)
    return Stores(
        "memory",
        MemoryRunQueue(ledger),
        runs,
        MemoryFlowStore(clock),
        MemoryBlobStore(ledger),
        MemoryResultCache(clock),
        MemorySlots(ledger),
        MemoryModelRegistry(config),
        MemoryEventBus(),
        MemoryAllowanceStore(clock),
        MemoryKeyStore(config),
        MemoryPriceStore(config),
        MemoryConfigStore(config),
        MemoryUsageStore(clock),
        MemoryComparisonStore(),
        MemoryScheduleStore(ledger, runs),
        MemoryTriggerStore(),
        MemoryLogStore(ledger),
        MemoryWebhookStore(clock),
    )


def new_run(**options: Any) -> NewRun:
    fields: dict[str, Any] = {
        "run_id": new_id(),
        "project_id": 1,
        "flow_name": "f",
        "flow_version": VERSION,
        "input": encode_value({}),
    }
    return NewRun(**{**fields, **options})


async def worker(stores: Stores, lease: float = 30.0) -> UUID:
    worker_id = new_id()
    await stores.queue.register(worker_id, "default", 10, lease)
    return worker_id


async def claimed(stores: Stores, worker_id: UUID, **options: Any) -> ClaimedRun:
    """A fresh run in the worker's hands."""
    run = new_run(**options)
    await stores.runs.create([run])
    found = await stores.queue.claim(worker_id, run.queue, 16)
    return next(entry for entry in found if entry.run_id == run.run_id)


def row(run: ClaimedRun, seq: int, key: str = "a", output: Any = 1) -> JournalRow:
    body = encode_body(StepSucceeded(output, 1.0, 0.0))
    return JournalRow(run.run_id, run.shelf, seq, EventKind.STEP_SUCCEEDED, key, 1, run.fence, body)


def batch(run: ClaimedRun, *rows: JournalRow, **change: Any) -> CommitBatch:
    changes = [RunChange(run.run_id, run.fence, seq=len(rows), **change)] if change else []
    return CommitBatch(list(rows), changes)

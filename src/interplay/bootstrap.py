"""The composition root: marries ports and adapters, from settings. Nothing else makes adapters."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from interplay.adapters.http.caller import EgressHttpCaller
from interplay.adapters.local_models.assets import install
from interplay.adapters.local_models.child import ModelServerChild
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.openai_http.provider import OpenAIProviders
from interplay.adapters.postgres.blob_store import PostgresBlobStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.embedded import EmbeddedPostgres, url_of_running
from interplay.adapters.postgres.event_bus import PostgresEventBus
from interplay.adapters.postgres.failpoints import NO_FAILPOINTS, Failpoints, armed_from
from interplay.adapters.postgres.flow_store import PostgresFlowStore
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.result_cache import PostgresResultCache
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.slots import PostgresSlots
from interplay.core.errors import SetupError, Unavailable
from interplay.core.ids import uuid7
from interplay.ports.event_bus import EventBus
from interplay.settings import Settings
from interplay.use_cases.attempt_step import AttemptStep
from interplay.use_cases.call_model import CallModel
from interplay.use_cases.execute_step import ExecuteStep
from interplay.use_cases.expand_flow import ExpandFlow
from interplay.use_cases.fork_run import ForkRun
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.read_history import ReadHistory
from interplay.use_cases.replay_run import ReplayRun
from interplay.use_cases.work import Worker, WorkerOptions, WorkerParts

_LOG = logging.getLogger("interplay")
PROJECT = 1  # the project of a machine that knows no others yet


def new_id() -> UUID:
    """A fresh, time-ordered id."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


@dataclass(slots=True)
class Platform:
    """Everything that services work with, over one database."""

    settings: Settings
    database: Database
    clock: SystemClock
    bus: EventBus
    runs: PostgresRunStore
    queue: PostgresRunQueue
    flows: PostgresFlowStore
    blobs: PostgresBlobStore
    models: PostgresModelRegistry
    cache: PostgresResultCache
    slots: PostgresSlots
    plans: PlanLoader
    maintenance: Maintenance
    secrets: MemorySecretStore
    model_server: ModelServerChild
    providers: OpenAIProviders
    http: EgressHttpCaller

    def worker(self) -> Worker:
        settings = self.settings
        calls = CallModel(self.models, self.providers.of)
        executor = ExecuteStep(calls, self.http, self.secrets)
        parts = WorkerParts(
            self.queue,
            self.bus,
            self.clock,
            self.blobs,
            self.plans,
            AttemptStep(executor, self.cache, self.slots, self.clock),
            ExpandFlow(self.flows, self.plans, self.clock),
            new_id,
        )
        lease = settings.lease_seconds
        options = WorkerOptions(
            pool=settings.pool,
            capacity=settings.worker_capacity,
            lease=lease,
            renew_every=lease / 4,
            sweep=min(1.0, lease / 4),
            takeover_budget=settings.takeover_budget,
            drain=settings.drain_seconds,
        )
        return Worker(parts, options)

    def history(self) -> ReadHistory:
        return ReadHistory(self.runs, self.blobs, self.plans)

    def forks(self) -> ForkRun:
        return ForkRun(self.runs, self.history(), self.plans, self.bus, new_id)

    def replays(self) -> ReplayRun:
        return ReplayRun(self.runs, self.history())


@contextlib.asynccontextmanager
async def database_of(settings: Settings, *, share: bool = True) -> AsyncIterator[str]:
    """The URL of the database: the one that the settings name, or the embedded one, started and stopped here.

    `share`: the one that another process of this home runs will do.
    """
    url = settings.database_url or (url_of_running(settings.home / "postgres") if share else None)
    if url is not None:
        yield url
        return
    embedded = EmbeddedPostgres(settings.home / "postgres")
    url = await embedded.start()
    try:
        yield url
    finally:
        await embedded.stop()


@contextlib.asynccontextmanager
async def open_platform(settings: Settings, url: str, *, alone: bool, patience: float = 5.0) -> AsyncIterator[Platform]:
    """`alone`: this process is the only one, so hints stay inside of it. Ends everything it started.

    `patience`: seconds to wait for a database that does not answer yet.
    """
    await _prepared(url, patience)
    failpoints = armed_from(settings.failpoint) if settings.failpoint else NO_FAILPOINTS
    database = Database(url)
    platform = _assemble(settings, database, failpoints, alone)
    try:
        await platform.maintenance.ensure_shelves()
        if isinstance(platform.bus, PostgresEventBus):
            await platform.bus.start()
        yield platform
    finally:
        await platform.providers.close()
        await platform.http.close()
        await platform.model_server.stop()
        await platform.queue.close()
        if isinstance(platform.bus, PostgresEventBus):
            await platform.bus.close()
        await database.close()


async def _prepared(url: str, patience: float) -> None:
    """The schema of this release is there; raises Unavailable when the database stays away."""
    deadline = time.monotonic() + patience
    while True:
        try:
            await migrate(url)
            return
        except Unavailable as away:
            if time.monotonic() > deadline:
                raise
            _LOG.warning("waiting for the database: %s", away.detail)
            await asyncio.sleep(0.5)


def _assemble(settings: Settings, database: Database, failpoints: Failpoints, alone: bool) -> Platform:
    flows = PostgresFlowStore(database)
    secrets = MemorySecretStore(settings.secrets)
    model_server = ModelServerChild(models_dir(settings), idle_seconds=settings.model_idle_seconds)
    return Platform(
        settings=settings,
        database=database,
        clock=SystemClock(),
        bus=MemoryEventBus() if alone else PostgresEventBus(database),
        runs=PostgresRunStore(database, failpoints),
        queue=PostgresRunQueue(database, failpoints),
        flows=flows,
        blobs=PostgresBlobStore(database),
        models=PostgresModelRegistry(database),
        cache=PostgresResultCache(database),
        slots=PostgresSlots(database),
        plans=PlanLoader(flows),
        maintenance=Maintenance(database),
        secrets=secrets,
        model_server=model_server,
        providers=OpenAIProviders(secrets, lambda: local_server(settings, model_server)),
        http=EgressHttpCaller(settings.allowed_hosts),
    )


async def local_server(settings: Settings, child: ModelServerChild) -> str:
    """The model server of this machine, its weights brought at first need."""
    try:
        await install(models_dir(settings), _LOG.info)
    except SetupError as offline:
        _LOG.warning("%s", offline)  # models without weights work all the same; the others say what they miss
    return await child.ensure_started()


def models_dir(settings: Settings) -> Path:
    return settings.home / "models"

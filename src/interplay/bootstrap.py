"""The composition root: marries ports and adapters, from settings. Nothing else makes adapters."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from interplay.adapters.files.secret_store import FolderSecretStore
from interplay.adapters.http.caller import EgressHttpCaller
from interplay.adapters.http.guard import EgressGuard
from interplay.adapters.langchain.providers import LangChainProviders
from interplay.adapters.langchain.runnables import LangChainRunnables
from interplay.adapters.local_models.assets import install
from interplay.adapters.local_models.child import ModelServerChild
from interplay.adapters.mcp.tools import McpTools
from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.secret_store import MemorySecretStore
from interplay.adapters.memory.semantic_cache import MemorySemanticCache
from interplay.adapters.openai_http.provider import OpenAIProviders
from interplay.adapters.openai_http.shapes import checked_json
from interplay.adapters.postgres.blob_store import PostgresBlobStore
from interplay.adapters.postgres.comparison_store import PostgresComparisonStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.embedded import EmbeddedPostgres, url_of_running
from interplay.adapters.postgres.failpoints import NO_FAILPOINTS, Failpoints, armed_from
from interplay.adapters.postgres.flow_store import PostgresFlowStore
from interplay.adapters.postgres.log_store import PostgresLogStore
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.result_cache import PostgresResultCache
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schedule_store import PostgresScheduleStore
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.slots import PostgresSlots
from interplay.adapters.postgres.trigger_store import PostgresTriggerStore
from interplay.adapters.python_tools.loading import load
from interplay.adapters.python_tools.tools import PythonTools
from interplay.bootstrap_events import Recorder, make_recorder
from interplay.bootstrap_kafka import Broker, Buses, make_broker, make_bus
from interplay.bootstrap_tenancy import Parts, Tenancy, make_tenancy
from interplay.bootstrap_webhooks import Webhooks, make_webhooks
from interplay.core.errors import SetupError, Unavailable
from interplay.core.extensions import Extensions, read_extensions
from interplay.core.ids import uuid7
from interplay.core.models.connection_kinds import KINDS
from interplay.core.models.registry import Connection
from interplay.ports.event_bus import EventBus
from interplay.ports.model_provider import ModelProvider
from interplay.ports.secret_store import SecretStore
from interplay.settings import Settings
from interplay.use_cases.account_call import AccountCall
from interplay.use_cases.attempt_step import AttemptStep
from interplay.use_cases.call_model import CallExtras, CallModel
from interplay.use_cases.call_tool import CallTool
from interplay.use_cases.deliver_webhooks import DeliverWebhooks, DeliveryOptions
from interplay.use_cases.execute_step import ExecuteStep
from interplay.use_cases.expand_flow import ExpandFlow
from interplay.use_cases.fire_schedules import PrepareFire, Scheduler
from interplay.use_cases.fork_run import ForkRun
from interplay.use_cases.live_models import SnapshotModels
from interplay.use_cases.load_plan import PlanLoader
from interplay.use_cases.publish_events import PublishEvents
from interplay.use_cases.queue_deliveries import QueueDeliveries
from interplay.use_cases.read_history import ReadHistory
from interplay.use_cases.receive_hook import HookParts, ReceiveHook
from interplay.use_cases.refresh_snapshot import TOPIC
from interplay.use_cases.replay_run import ReplayRun
from interplay.use_cases.reuse_answer import ReuseAnswer
from interplay.use_cases.run_trigger import RunTriggers
from interplay.use_cases.shadow_call import ShadowCall
from interplay.use_cases.submit_run import SubmitRun
from interplay.use_cases.trigger_work import TriggerParts
from interplay.use_cases.work import Worker, WorkerOptions, WorkerParts

_LOG = logging.getLogger("interplay")
PROJECT = 1  # the project of a machine that knows no others yet
_AGAIN: Final = 0.5  # seconds between two tries to reach the database
Waits = Callable[[str | None], None]


def _warn(reason: str | None) -> None:
    if reason is not None:
        _LOG.warning("waiting for the database: %s", reason)


def new_id() -> UUID:
    """A fresh, time-ordered id."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


@dataclass(slots=True)
class Providers:
    """What answers for a connection, by its kind."""

    openai: OpenAIProviders
    langchain: LangChainProviders

    async def of(self, project_id: int, connection: Connection) -> ModelProvider:
        """Raises StepFailure when it cannot be made."""
        if KINDS[connection.kind].own_client:
            return await self.langchain.of(project_id, connection)
        return await self.openai.of(project_id, connection)

    async def close(self) -> None:
        await self.openai.close()
        await self.langchain.close()


@dataclass(slots=True)
class Platform:
    """Everything that services work with, over one database."""

    settings: Settings
    database: Database
    clock: SystemClock
    bus: EventBus
    buses: Buses
    runs: PostgresRunStore
    queue: PostgresRunQueue
    schedules: PostgresScheduleStore
    flows: PostgresFlowStore
    blobs: PostgresBlobStore
    models: PostgresModelRegistry
    cache: PostgresResultCache
    meanings: MemorySemanticCache
    slots: PostgresSlots
    plans: PlanLoader
    maintenance: Maintenance
    secrets: SecretStore
    model_server: ModelServerChild
    providers: Providers
    http: EgressHttpCaller
    extensions: Extensions
    tool_servers: McpTools
    live: SnapshotModels
    comparisons: PostgresComparisonStore
    calls: CallModel
    tenancy: Tenancy
    broker: Broker
    trigger_store: PostgresTriggerStore
    log_store: PostgresLogStore
    webhooks: Webhooks

    def worker(self) -> Worker:
        settings = self.settings
        runnables = LangChainRunnables(self.extensions.runnables, load)
        functions = {name: load(reference, name) for name, reference in self.extensions.tools.items()}
        tools = CallTool([PythonTools(functions), self.tool_servers])
        executor = ExecuteStep(self.calls, self.http, self.broker.writer, self.secrets, tools, runnables)
        parts = WorkerParts(
            self.queue,
            self.bus,
            self.clock,
            self.blobs,
            self.plans,
            AttemptStep(executor, self.cache, self.slots, self.clock),
            ExpandFlow(self.flows, self.plans, self.clock),
            new_id,
            PublishEvents(self.broker.events, self.log_store, self.clock) if self.broker.events is not None else None,
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

    def prepare_fire(self) -> PrepareFire:
        return PrepareFire(SubmitRun(self.runs, self.flows, self.plans, self.bus, new_id), new_id)

    def scheduler(self) -> Scheduler:
        return Scheduler(self.schedules, self.prepare_fire(), self.bus)

    def triggers(self) -> RunTriggers | None:
        """None where there is no broker."""
        if self.broker.readers is None:
            return None
        submit = SubmitRun(self.runs, self.flows, self.plans, self.bus, new_id)
        return RunTriggers(
            TriggerParts(self.trigger_store, self.broker.readers, self.broker.writer, submit, self.runs, self.bus)
        )

    def recorder(self) -> Recorder:
        takers, namespace = [self.queue_deliveries()], self.settings.kafka_namespace
        return make_recorder(self.broker, self.log_store, self.tenancy.usage, takers, namespace)

    def queue_deliveries(self) -> QueueDeliveries:
        """What takes events of the log for webhooks."""
        return QueueDeliveries(self.webhooks.store, self.runs, self.bus)

    def deliver_webhooks(self) -> DeliverWebhooks:
        options = DeliveryOptions(retention_days=self.settings.retention_days)
        return DeliverWebhooks(self.webhooks.store, self.webhooks.sender, self.bus, options)

    def receive_hook(self) -> ReceiveHook:
        """What starts runs of the calls of others."""
        submit = SubmitRun(self.runs, self.flows, self.plans, self.bus, new_id)
        parts = HookParts(
            self.trigger_store,
            submit,
            self.runs,
            self.secrets,
            self.webhooks.keys,
            self.clock,
            lambda: self.tenancy.snapshots.current.projects,
        )
        return ReceiveHook(parts)

    def history(self) -> ReadHistory:
        return ReadHistory(self.runs, self.blobs, self.plans)

    def forks(self) -> ForkRun:
        return ForkRun(self.runs, self.flows, self.history(), self.plans, self.bus, new_id)

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
async def open_platform(
    settings: Settings, url: str, *, alone: bool, patience: float = 5.0, waits: Waits = _warn
) -> AsyncIterator[Platform]:
    """`alone`: this process is the only one, so hints stay inside of it. Ends everything it started.

    `patience`: seconds to wait for a database that does not answer yet; `waits` is told why, and None at the end.
    """
    deadline = time.monotonic() + patience
    await awaited(lambda: migrate(url), deadline, waits)
    failpoints = armed_from(settings.failpoint) if settings.failpoint else NO_FAILPOINTS
    database = Database(url)
    platform = _assemble(settings, database, failpoints, alone)
    try:
        await awaited(platform.maintenance.ensure_shelves, deadline, waits)
        await awaited(platform.tenancy.snapshots.load, deadline, waits)
        await platform.buses.start()
        async with platform.tenancy.running():
            yield platform
    finally:
        await platform.tool_servers.close()
        await platform.calls.close()
        await platform.providers.close()
        await platform.http.close()
        await platform.webhooks.close()
        await platform.broker.close()
        await platform.model_server.stop()
        await platform.queue.close()
        await platform.buses.close()
        await database.close()


async def awaited(work: Callable[[], Awaitable[object]], deadline: float, waits: Waits = _warn) -> None:
    """Tries again while the database is away; raises Unavailable when it stays so until `deadline`."""
    while True:
        try:
            await work()
        except Unavailable as away:
            if time.monotonic() > deadline:
                raise
            waits(away.detail)
            await asyncio.sleep(_AGAIN)
        else:
            waits(None)
            return


def _assemble(settings: Settings, database: Database, failpoints: Failpoints, alone: bool) -> Platform:
    flows = PostgresFlowStore(database)
    secrets: SecretStore = MemorySecretStore(settings.secrets)
    if settings.secrets_folder is not None:
        secrets = FolderSecretStore(settings.secrets_folder, secrets)
    model_server = ModelServerChild(models_dir(settings), idle_seconds=settings.model_idle_seconds)
    guard = EgressGuard(settings.allowed_hosts)
    recently = guard.recently()
    providers = Providers(
        OpenAIProviders(secrets, lambda: local_server(settings, model_server), recently),
        LangChainProviders(secrets, checked_json, recently),
    )
    clock, cache = SystemClock(), PostgresResultCache(database)
    broker = make_broker(settings)
    runs = PostgresRunStore(database, failpoints, logged=broker.events is not None)
    buses = make_bus(settings, database, broker.connection, alone)
    bus = buses.bus
    models = PostgresModelRegistry(database, lambda: bus.publish(TOPIC, {}))
    tenancy = make_tenancy(Parts(database, bus, clock, models), new_id(), settings.home, settings.usage_days)
    live, comparisons = SnapshotModels(tenancy.snapshots), PostgresComparisonStore(database)
    meanings = MemorySemanticCache(clock)
    reuse = ReuseAnswer(cache, meanings)
    snapshots = tenancy.snapshots
    accounts = AccountCall(tenancy.admit, tenancy.writer.record, snapshots, clock, new_id)
    shadows = ShadowCall(comparisons, clock, random.random, accounts)
    extensions = extensions_of(settings)

    async def connections(project_id: int) -> Mapping[str, Connection]:
        return (await models.load(project_id)).connections

    return Platform(
        settings=settings,
        database=database,
        clock=clock,
        bus=bus,
        buses=buses,
        runs=runs,
        queue=PostgresRunQueue(database, failpoints),
        schedules=PostgresScheduleStore(database, runs, failpoints),
        flows=flows,
        blobs=PostgresBlobStore(database),
        models=models,
        cache=cache,
        meanings=meanings,
        slots=PostgresSlots(database),
        plans=PlanLoader(flows),
        maintenance=Maintenance(database),
        secrets=secrets,
        model_server=model_server,
        providers=providers,
        http=EgressHttpCaller(settings.allowed_hosts),
        extensions=extensions,
        tool_servers=McpTools(extensions.servers, connections, secrets, guard.address),
        live=live,
        comparisons=comparisons,
        calls=CallModel(live, providers.of, clock, random.random, CallExtras(reuse, shadows, accounts)),
        tenancy=tenancy,
        broker=broker,
        trigger_store=PostgresTriggerStore(database),
        log_store=PostgresLogStore(database),
        webhooks=make_webhooks(settings, database, clock, failpoints),
    )


def extensions_of(settings: Settings) -> Extensions:
    """What the file of this worker adds to it. Raises SetupError that says where it is wrong."""
    if settings.extensions is None:
        return Extensions()
    try:
        return read_extensions(settings.extensions.read_text(encoding="utf-8"), str(settings.extensions))
    except OSError as wrong:
        raise SetupError(
            f"{settings.extensions} cannot be read: {wrong.strerror}.", where="INTERPLAY_EXTENSIONS"
        ) from None


async def local_server(settings: Settings, child: ModelServerChild) -> str:
    """The model server of this machine, its weights brought at first need."""
    try:
        await install(models_dir(settings), _LOG.info)
    except SetupError as offline:
        _LOG.warning("%s", offline)  # models without weights work all the same; the others say what they miss
    return await child.ensure_started()


def models_dir(settings: Settings) -> Path:
    return settings.home / "models"

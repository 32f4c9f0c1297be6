"""Everything of one machine in one process: embedded PostgreSQL, worker, scheduler, API, housekeeping."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interplay.bootstrap import PROJECT, Platform, database_of, open_platform
from interplay.bootstrap_events import Recorder
from interplay.bootstrap_gateway import open_gateway
from interplay.bootstrap_kafka import make_topics
from interplay.collector import spare_what_started
from interplay.core.errors import SetupError, Unavailable
from interplay.operations import Look, Standing
from interplay.services.all_in_one.watch import Watch
from interplay.services.api.app import make_app
from interplay.services.api.first_key import ensure_first_key
from interplay.services.gateway.app import Gateway
from interplay.services.gateway.metrics import lines
from interplay.services.gateway.protocol import protocol_of
from interplay.settings import Settings
from interplay.use_cases.deliver_webhooks import DeliverWebhooks
from interplay.use_cases.deliver_webhooks import metric_lines as delivery_lines
from interplay.use_cases.fire_schedules import Scheduler, metric_lines
from interplay.use_cases.forward_parts import ForwardParts
from interplay.use_cases.register_models import RegisterModels
from interplay.use_cases.run_trigger import RunTriggers
from interplay.use_cases.tell_work import metric_lines as worker_lines
from interplay.use_cases.work import Worker
from interplay.web_server import Serving, WebServer, listen, web_server

ADDRESS: Final = "server.json"
TOKEN: Final = "token"
_HOUSEKEEPING: Final = 600.0  # seconds

LOOPBACK: Final = "127.0.0.0/8,::1/128"


@dataclass(frozen=True, slots=True)
class Machine:
    """A running machine. `url` and `token` are what a client needs. `fresh`: the token was made just now."""

    url: str
    token: str
    platform: Platform
    worker: Worker
    gateway: ForwardParts
    scheduler: Scheduler
    triggers: RunTriggers | None
    recorder: Recorder
    deliveries: DeliverWebhooks
    fresh: bool = False


@contextlib.asynccontextmanager
async def run_machine(settings: Settings, *, announce: bool = True, fires: bool = True) -> AsyncIterator[Machine]:
    """Starts everything, and at the end drains and stops it. `announce`: tell other commands of this home. `fires`:
    what its schedules have due."""
    if settings.on_loopback and not settings.egress_allow:  # whoever may call it is on this machine already
        settings = settings.model_copy(update={"egress_allow": LOOPBACK})
    home = prepare_home(settings.home)
    listener = listen(settings.host, settings.port)
    try:
        async with (
            database_of(settings, share=False) as url,
            open_platform(settings, url, alone=settings.database_url is None and settings.workers > 0) as platform,
        ):
            await RegisterModels(platform.models).local(PROJECT)
            fresh = settings.key is None and not (home / TOKEN).exists()
            token = settings.key or token_of(home)
            await ensure_first_key(platform, "this machine" if settings.key is None else "INTERPLAY_KEY", token)
            host, port = listener.getsockname()[:2]
            async with open_gateway(platform) as gateway:
                timed = (platform.scheduler(), platform.triggers(), platform.recorder(), platform.deliver_webhooks())
                parts = (platform.worker(), gateway, *timed)
                machine = Machine(f"http://{host}:{port}", token, platform, *parts, fresh)
                async with (
                    _running(machine, listener, settings, fires),
                    _announced(home, machine if announce else None),
                ):
                    yield machine
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def _running(machine: Machine, listener: socket.socket, settings: Settings, fires: bool) -> AsyncIterator[None]:
    loopback = settings.on_loopback
    watch, standing = Watch(), Standing("machine", "does everything")
    scheduler, reach = machine.scheduler, machine.platform.broker.reach
    counted = functools.partial(_counted, machine, standing)
    api = make_app(machine.platform, loopback, counted, watch.ailing, standing.waits.reasons)
    protocol = protocol_of(machine.gateway) if settings.gateway_face == "protocol" else None
    server = web_server(Serving(Gateway(machine.gateway, api), protocol=protocol))
    house = Housekeeping(machine.platform, settings.retention_days)
    tasks = [
        asyncio.create_task(watch.keep("housekeeping", house.run, house.kept.wait)),
        asyncio.create_task(server.serve([listener])),
    ]
    beside = [asyncio.create_task(standing.lag.run())]
    if reach is not None:
        beside.append(asyncio.create_task(make_topics(settings)))
        beside.append(asyncio.create_task(Look(standing.waits, "broker", reach.look).run()))
    if fires and machine.triggers is not None:
        tasks.append(asyncio.create_task(watch.keep("triggers", machine.triggers.run, machine.triggers.ready.wait)))
    if fires:
        recorder = machine.recorder
        tasks.append(asyncio.create_task(watch.keep("recorder", recorder.run, recorder.ready)))
        deliveries = machine.deliveries
        tasks.append(asyncio.create_task(watch.keep("deliveries", deliveries.run, deliveries.ready.wait)))
        tasks.append(asyncio.create_task(watch.keep("scheduler", scheduler.run, scheduler.ready.wait)))
    if settings.workers:
        worker = machine.worker
        tasks.append(asyncio.create_task(watch.keep("worker", worker.run, worker.ready.wait)))
    try:
        async with asyncio.timeout(30.0):
            await _started(server, machine.worker if settings.workers else None, tasks)
        spare_what_started()
        yield
    finally:
        machine.worker.stop()
        scheduler.stop()
        machine.recorder.stop()
        machine.deliveries.stop()
        if machine.triggers is not None:
            machine.triggers.stop()
        server.should_exit = True
        for task in (tasks[0], *beside):
            task.cancel()
        await asyncio.gather(*tasks, *beside, return_exceptions=True)


def _counted(machine: Machine, standing: Standing) -> list[str]:
    works = worker_lines(machine.worker) if machine.platform.settings.workers else []
    timed = [*metric_lines(machine.scheduler.counted), *delivery_lines(machine.deliveries.counted)]
    return [*lines(machine.gateway), *timed, *machine.recorder.metrics(), *works, *standing.lines()]


async def _started(server: WebServer, worker: Worker | None, tasks: list[asyncio.Task[None]]) -> None:
    if worker is not None:
        await worker.ready.wait()
    while not server.started:
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.005)


class Housekeeping:
    """Shelves made ahead, old ones dropped, now and then. `kept` is set once a round went through."""

    def __init__(self, platform: Platform, retention_days: int) -> None:
        self._maintenance = platform.maintenance
        self._schedules = platform.schedules
        self._retention_days = retention_days
        self.kept = asyncio.Event()

    async def run(self) -> None:
        self.kept.clear()
        while True:
            with contextlib.suppress(Unavailable):
                await self._maintenance.ensure_shelves()
                await self._maintenance.retire(self._retention_days)
                await self._schedules.forget(self._retention_days)
                self.kept.set()
            await asyncio.sleep(_HOUSEKEEPING)


def prepare_home(home: Path) -> Path:
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / "logs").mkdir(exist_ok=True)
    except OSError as wrong:
        raise SetupError(
            f"The home {home} cannot be made: {wrong.strerror}.",
            where="INTERPLAY_HOME",
            advice="Choose another folder.",
        ) from None
    return home


def token_of(home: Path) -> str:
    """The key of this machine's API: made once, readable by its owner only."""
    path = home / TOKEN
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    token = "ik_" + secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
    return token


@contextlib.asynccontextmanager
async def _announced(home: Path, machine: Machine | None) -> AsyncIterator[None]:
    if machine is None:
        yield
        return
    part = home / (ADDRESS + ".part")
    part.write_text(json.dumps({"url": machine.url, "pid": os.getpid()}))
    part.replace(home / ADDRESS)
    try:
        yield
    finally:
        (home / ADDRESS).unlink(missing_ok=True)

"""Everything of one machine in one process: embedded PostgreSQL, worker, API, housekeeping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from interplay.bootstrap import PROJECT, Platform, database_of, open_platform
from interplay.core.errors import SetupError, Unavailable
from interplay.services.api.app import make_app
from interplay.settings import Settings
from interplay.use_cases.register_models import RegisterModels
from interplay.use_cases.work import Worker

ADDRESS: Final = "server.json"
TOKEN: Final = "token"
_HOUSEKEEPING: Final = 600.0  # seconds


@dataclass(frozen=True, slots=True)
class Machine:
    """A running machine. `url` and `token` are what a client needs."""

    url: str
    token: str
    platform: Platform
    worker: Worker


@contextlib.asynccontextmanager
async def run_machine(settings: Settings, *, announce: bool = True) -> AsyncIterator[Machine]:
    """Starts everything, and at the end drains and stops it. `announce`: tell other commands of this home."""
    home = prepare_home(settings.home)
    listener = listen(settings.host, settings.port)
    try:
        async with (
            database_of(settings, share=False) as url,
            open_platform(settings, url, alone=settings.database_url is None and settings.workers > 0) as platform,
        ):
            await RegisterModels(platform.models).local(PROJECT)
            token = settings.key or token_of(home)
            host, port = listener.getsockname()[:2]
            machine = Machine(f"http://{host}:{port}", token, platform, platform.worker())
            async with _running(machine, listener, settings):
                if announce:
                    _announce(home, machine)
                try:
                    yield machine
                finally:
                    if announce:
                        (home / ADDRESS).unlink(missing_ok=True)
    finally:
        listener.close()


@contextlib.asynccontextmanager
async def _running(machine: Machine, listener: socket.socket, settings: Settings) -> AsyncIterator[None]:
    loopback = settings.host in ("127.0.0.1", "::1", "localhost")
    app = make_app(machine.platform, machine.token, loopback)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=5, timeout_keep_alive=75
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    tasks = [
        asyncio.create_task(keep_house(machine.platform, settings.retention_days)),
        asyncio.create_task(server._serve([listener])),
    ]
    if settings.workers:
        tasks.append(asyncio.create_task(machine.worker.run()))
    try:
        async with asyncio.timeout(30.0):
            await _started(server, machine.worker if settings.workers else None, tasks)
        yield
    finally:
        machine.worker.stop()
        server.should_exit = True
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _started(server: uvicorn.Server, worker: Worker | None, tasks: list[asyncio.Task[None]]) -> None:
    if worker is not None:
        await worker.ready.wait()
    while not server.started:
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.005)


async def keep_house(platform: Platform, retention_days: int) -> None:
    """Shelves made ahead, old ones dropped, now and then."""
    while True:
        with contextlib.suppress(Unavailable):
            await platform.maintenance.ensure_shelves()
            await platform.maintenance.retire(retention_days)
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


def listen(host: str, port: int) -> socket.socket:
    """Takes the port before anything else is started. Raises SetupError in one sentence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with its protocol said: asyncio sets TCP_NODELAY only where it is
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as taken:
        listener.close()
        raise SetupError(
            f"Port {port} on {host} cannot be used: {taken.strerror}.",
            where="INTERPLAY_PORT",
            advice="Choose another with --port, or 0 for any free one.",
        ) from None
    return listener


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


def _announce(home: Path, machine: Machine) -> None:
    part = home / (ADDRESS + ".part")
    part.write_text(json.dumps({"url": machine.url, "pid": os.getpid()}))
    part.replace(home / ADDRESS)

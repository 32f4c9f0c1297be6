"""Whom a command talks to: a remote server, the one of this home, or an engine started for this command."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import click

from interplay import telemetry
from interplay.client import AsyncClient
from interplay.core.errors import SetupError
from interplay.settings import Settings, load_settings

T = TypeVar("T")


def settings_of(**overrides: Any) -> Settings:
    context = click.get_current_context()
    return load_settings(**{**(context.find_root().obj or {}), **overrides})


def running_server(settings: Settings) -> str | None:
    """The address of the server that runs on this home, if one does."""
    try:
        found = json.loads((settings.home / "server.json").read_text())
        os.kill(int(found["pid"]), 0)
        return str(found["url"])
    except (OSError, ValueError, KeyError):
        return None


@contextlib.asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AsyncClient]:
    """A client of the chosen server; starts the embedded engine when there is none."""
    if settings.url is not None:
        async with AsyncClient(settings.url, settings.key, settings.project) as client:
            yield client
        return
    url = running_server(settings)
    if url is not None:
        async with AsyncClient(url, settings.key or _token(settings), settings.project) as client:
            yield client
        return
    run_machine = part("services.all_in_one.machine").run_machine
    quiet = settings.model_copy(update={"port": 0, "host": "127.0.0.1"})
    async with (
        run_machine(quiet, announce=False, fires=False) as machine,
        AsyncClient(machine.url, machine.token, settings.project) as client,
    ):
        yield client


def _token(settings: Settings) -> str:
    try:
        return (settings.home / "token").read_text().strip()
    except OSError as wrong:
        raise SetupError(f"The key of this machine cannot be read: {wrong}.", advice="Set INTERPLAY_KEY.") from None


def with_client(work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
    """Runs one command's work against the chosen server."""
    settings = settings_of()
    set_up_logs(settings)

    async def run() -> T:
        async with connected(settings) as client:
            return await work(client)

    return asyncio.run(run())


async def all_of(items: AsyncIterator[Any]) -> dict[str, Any]:
    """All pages of a list, as one."""
    return {"items": [item async for item in items], "next": None}


def part(name: str) -> Any:
    """A part of the product that a plain client does not have: loaded when a command needs it."""
    try:
        return importlib.import_module(f"interplay.{name}")
    except ModuleNotFoundError as missing:
        raise SetupError(
            f"This installation is only a client: {missing.name} is missing.",
            advice="Install it with the extra `all`, or name a server with --server.",
        ) from None


def run_service(work: Coroutine[Any, Any, T]) -> T:
    """Runs a service on the fastest event loop that is installed."""
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ModuleNotFoundError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def set_up_logs(settings: Settings) -> None:
    telemetry.set_up(settings.log, settings.log_level)

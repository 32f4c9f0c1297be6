"""The scheduler as a process of its own: any number of them, started in any order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Coroutine
from typing import Any

from interplay.bootstrap import database_of, open_platform
from interplay.collector import spare_what_started
from interplay.core.errors import SetupError
from interplay.services.scheduler.operations import Operations, Standing
from interplay.settings import Settings
from interplay.use_cases.fire_schedules import Scheduler
from interplay.web_server import Serving, listen, web_server

_LOG = logging.getLogger("interplay.scheduler")


async def serve(settings: Settings) -> None:
    """Fires schedules, works on triggers and delivers webhooks until SIGTERM or SIGINT. It answers from the beginning
    on, and waits for the database as long as that takes."""
    standing = Standing()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, standing.stopping.set)
    server = web_server(Serving(Operations(standing)))
    with contextlib.closing(_listener(settings)) as listener:
        address = listener.getsockname()
        _LOG.info("listens", extra={"address": f"http://{address[0]}:{address[1]}"})
        answering = asyncio.create_task(server.serve([listener]))
        try:
            await _until_asked(_work(settings, standing), standing, settings.drain_seconds)
        finally:
            server.should_exit = True
            await answering
    _LOG.info("stopped")


def _listener(settings: Settings) -> socket.socket:
    """The port that the settings name. Where they name none, any will do: schedulers stand beside an API, and beside
    one another."""
    try:
        return listen(settings.host, settings.port)
    except SetupError:
        if "port" in settings.model_fields_set:
            raise
        return listen(settings.host, 0)


async def _until_asked(work: Coroutine[Any, Any, None], standing: Standing, drain: float) -> None:
    working = asyncio.ensure_future(work)
    asked = asyncio.create_task(standing.stopping.wait())
    await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if standing.scheduler is not None:
        standing.scheduler.stop()
        await asyncio.wait({working}, timeout=drain)
    if not working.done():  # it still waits for the database
        working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        working.result()  # whoever started this process sees that it failed, and starts it again


async def _work(settings: Settings, standing: Standing) -> None:
    patience = float("inf")
    async with database_of(settings) as url, open_platform(settings, url, alone=False, patience=patience) as platform:
        scheduler = standing.scheduler = platform.scheduler()
        announced = asyncio.create_task(_announced(scheduler))
        triggers = platform.triggers()
        deliveries = standing.deliveries = platform.deliver_webhooks()
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(deliveries.run())
                if triggers is not None:
                    parts.create_task(triggers.run())
                await scheduler.run()
                deliveries.stop()
                if triggers is not None:
                    triggers.stop()
        except Exception:
            _LOG.exception("the scheduler ended")
            raise
        finally:
            announced.cancel()


async def _announced(scheduler: Scheduler) -> None:
    await scheduler.ready.wait()
    spare_what_started()
    _LOG.info("ready: fires schedules")

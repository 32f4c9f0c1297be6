"""Brings the schema to this release once the database answers, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from interplay.bootstrap import awaited, database_of
from interplay.bootstrap_checks import migrate_database
from interplay.operations import FOREVER, Waits
from interplay.settings import Settings

_LOG = logging.getLogger("interplay.migrate")


async def serve(settings: Settings) -> None:
    """Waits for the database as long as that takes, or until SIGTERM or SIGINT."""
    working = asyncio.ensure_future(_work(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working
        _LOG.info("ready: the schema is that of this release")


async def _work(settings: Settings) -> None:
    waits = Waits()
    async with database_of(settings) as url:
        await awaited(lambda: migrate_database(url), FOREVER, lambda reason: waits.told("database", reason))

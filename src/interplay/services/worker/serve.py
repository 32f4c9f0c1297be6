"""A worker as a process of its own."""

from __future__ import annotations

import asyncio
import signal

from interplay.bootstrap import database_of, open_platform
from interplay.settings import Settings


async def serve(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT, then drains."""
    async with database_of(settings) as url, open_platform(settings, url, alone=False, patience=60.0) as platform:
        worker = platform.worker()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()

"""A worker as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal

from interplay.bootstrap import database_of, open_platform
from interplay.collector import spare_what_started
from interplay.settings import Settings
from interplay.use_cases.work import Worker

_LOG = logging.getLogger("interplay.worker")


async def serve(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT, then drains."""
    async with database_of(settings) as url, open_platform(settings, url, alone=False, patience=60.0) as platform:
        worker = platform.worker()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        announced = asyncio.create_task(_announced(worker, settings))
        try:
            await worker.run()
        except Exception:
            _LOG.exception("the worker ended")
            raise  # whoever started this process sees that it failed, and starts it again
        finally:
            announced.cancel()


async def _announced(worker: Worker, settings: Settings) -> None:
    await worker.ready.wait()
    spare_what_started()
    _LOG.info("ready: claims runs", extra={"pool": settings.pool, "capacity": settings.worker_capacity})

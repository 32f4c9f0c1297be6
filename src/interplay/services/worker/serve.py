"""A worker as a process of its own."""

from __future__ import annotations

import logging

from interplay.bootstrap import database_of, open_platform
from interplay.operations import FOREVER, Look, Place, Service, Standing
from interplay.settings import Settings
from interplay.use_cases.tell_work import metric_lines, reasons
from interplay.use_cases.work import Worker

_LOG = logging.getLogger("interplay.worker")


async def serve(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT, then drains. It answers operators from the beginning on, and waits for the
    database as long as that takes."""
    place = Place(settings.host, settings.named_port, settings.drain_seconds)
    await Service(Standing("worker", "claims runs"), place).run(lambda service: _work(settings, service))


async def _work(settings: Settings, service: Service) -> None:
    waits = service.standing.waits_for_database
    async with (
        database_of(settings) as url,
        open_platform(settings, url, alone=False, patience=FOREVER, waits=waits) as platform,
    ):
        worker = platform.worker()
        service.begins(stop=worker.stop, reasons=lambda: reasons(worker), metrics=lambda: metric_lines(worker))
        service.beside(_announced(service, worker, settings))
        if platform.broker.reach is not None:
            service.beside(Look(service.standing.waits, "broker", platform.broker.reach.look).run())
        try:
            await worker.run()
        except Exception:
            _LOG.exception("the worker ended")
            raise  # whoever started this process sees that it failed, and starts it again


async def _announced(service: Service, worker: Worker, settings: Settings) -> None:
    await worker.ready.wait()
    service.ready(pool=settings.pool, capacity=settings.worker_capacity)

"""The recorder as a process of its own: any number of them, started in any order."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from interplay.bootstrap import database_of, open_platform
from interplay.operations import FOREVER, Look, Place, Service, Standing
from interplay.settings import Settings

_LOG = logging.getLogger("interplay.recorder")


async def serve(settings: Settings) -> None:
    """Records what happens to runs until SIGTERM or SIGINT. It answers from the beginning on, and waits for the
    database, and for the broker where there is one, as long as that takes."""
    place = Place(settings.host, settings.named_port, settings.drain_seconds)
    await Service(Standing("recorder", "records what happens"), place).run(lambda service: _work(settings, service))


async def _work(settings: Settings, service: Service) -> None:
    waits = service.standing.waits_for_database
    async with (
        database_of(settings) as url,
        open_platform(settings, url, alone=False, patience=FOREVER, waits=waits) as platform,
    ):
        recorder = platform.recorder()
        service.begins(stop=recorder.stop, reasons=recorder.reasons, metrics=recorder.metrics)
        service.beside(_announced(service, recorder.ready()))
        if platform.broker.reach is not None:
            service.beside(Look(service.standing.waits, "broker", platform.broker.reach.look).run())
        try:
            await recorder.run()
        except Exception:
            _LOG.exception("the recorder ended")
            raise


async def _announced(service: Service, ready: Awaitable[None]) -> None:
    await ready
    service.ready()

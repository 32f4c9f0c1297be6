"""The scheduler as a process of its own: any number of them, started in any order."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from interplay.bootstrap import database_of, open_platform
from interplay.operations import FOREVER, Look, Place, Service, Standing
from interplay.settings import Settings
from interplay.use_cases.deliver_webhooks import metric_lines as delivery_lines
from interplay.use_cases.fire_schedules import Scheduler, metric_lines

_LOG = logging.getLogger("interplay.scheduler")
_LONGEST: Final = 30.0  # seconds without a look at the ledger


async def serve(settings: Settings) -> None:
    """Fires schedules, works on triggers and delivers webhooks until SIGTERM or SIGINT. It answers from the beginning
    on, and waits for the database as long as that takes."""
    place = Place(settings.host, settings.named_port, settings.drain_seconds)
    await Service(Standing("scheduler", "fires schedules"), place).run(lambda service: _work(settings, service))


async def _work(settings: Settings, service: Service) -> None:
    waits = service.standing.waits_for_database
    async with (
        database_of(settings) as url,
        open_platform(settings, url, alone=False, patience=FOREVER, waits=waits) as platform,
    ):
        scheduler, triggers, deliveries = platform.scheduler(), platform.triggers(), platform.deliver_webhooks()

        def stop() -> None:
            scheduler.stop()
            deliveries.stop()
            if triggers is not None:
                triggers.stop()

        def lines() -> list[str]:
            return [*metric_lines(scheduler.counted), *delivery_lines(deliveries.counted)]

        service.begins(stop=stop, reasons=lambda: reasons(scheduler), metrics=lines)
        service.beside(_announced(service, scheduler))
        if platform.broker.reach is not None:
            service.beside(Look(service.standing.waits, "broker", platform.broker.reach.look).run())
        try:
            async with asyncio.TaskGroup() as parts:
                parts.create_task(deliveries.run())
                if triggers is not None:
                    parts.create_task(triggers.run())
                await scheduler.run()
                stop()
        except Exception:
            _LOG.exception("the scheduler ended")
            raise


def reasons(scheduler: Scheduler) -> dict[str, str]:
    """Why it is not ready, by part; empty: it is."""
    if scheduler.away is not None:
        return {"database": scheduler.away}
    if not scheduler.ready.is_set():
        return {"database": "It was not looked at yet."}
    silent = asyncio.get_running_loop().time() - scheduler.looked_at
    if silent > _LONGEST:
        return {"scheduler": f"It has not looked at the ledger for {silent:.0f} s."}
    return {}


async def _announced(service: Service, scheduler: Scheduler) -> None:
    await scheduler.ready.wait()
    service.ready()

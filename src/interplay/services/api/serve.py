"""The API as a process of its own."""

from __future__ import annotations

from typing import Final

from interplay.bootstrap import Platform, database_of, open_platform
from interplay.core.errors import SetupError
from interplay.operations import FOREVER, Look, Place, Service, Standing
from interplay.services.api.app import make_app
from interplay.services.api.first_key import ensure_first_key
from interplay.settings import Settings

_DRAIN: Final = 5.0  # seconds: streams go on elsewhere, from the event that was seen last


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. It answers operators from the beginning on, and waits for the database as long
    as that takes."""
    place = Place(settings.host, settings.port, _DRAIN)
    await Service(Standing("api", "answers the API"), place).run(lambda service: _work(settings, service))


async def _work(settings: Settings, service: Service) -> None:
    standing = service.standing
    async with (
        database_of(settings) as url,
        open_platform(settings, url, alone=False, patience=FOREVER, waits=standing.waits_for_database) as platform,
    ):
        await _somebody_may_call(platform, settings)
        if platform.broker.reach is not None:
            service.beside(Look(standing.waits, "broker", platform.broker.reach.look).run())
        service.opens(make_app(platform, settings.on_loopback, standing.lines, away=standing.waits.reasons))
        service.begins()
        service.ready()
        await standing.stopping.wait()
        await service.close()


async def _somebody_may_call(platform: Platform, settings: Settings) -> None:
    if settings.key is not None:
        await ensure_first_key(platform, "INTERPLAY_KEY", settings.key)
    elif not platform.tenancy.snapshots.current.keys:
        raise SetupError(
            "There is no key yet that anybody could call the API with.",
            where="INTERPLAY_KEY",
            advice="Set it to a long random text once: it becomes the first key, with all scopes.",
        )

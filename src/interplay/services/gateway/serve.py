"""The gateway as a process of its own: models only, no runs."""

from __future__ import annotations

import logging

from interplay.bootstrap import database_of, open_platform
from interplay.bootstrap_gateway import open_gateway
from interplay.operations import FOREVER, Look, Operations, Place, Service, Standing
from interplay.services.gateway.app import Gateway
from interplay.services.gateway.metrics import lines
from interplay.services.gateway.protocol import protocol_of
from interplay.settings import Settings

_LOG = logging.getLogger("interplay.gateway")


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT, then lets calls under way end. It answers operators from the beginning on, and
    waits for the database as long as that takes."""
    place = Place(settings.host, settings.port, settings.drain_seconds)
    standing = Standing("gateway", "serves models, at /v1/ and /v2/")
    await Service(standing, place).run(lambda service: _work(settings, service))


async def _work(settings: Settings, service: Service) -> None:
    standing = service.standing
    async with (
        database_of(settings) as url,
        open_platform(settings, url, alone=False, patience=FOREVER, waits=standing.waits_for_database) as platform,
        open_gateway(platform) as parts,
    ):
        if not platform.tenancy.snapshots.current.keys:
            _LOG.warning("there is no key yet: every call is refused until `interplay keys create` makes one")
        protocol = protocol_of(parts) if settings.gateway_face == "protocol" else None
        service.opens(Gateway(parts, Operations(standing)), protocol)
        service.begins(
            needed=frozenset(),  # it goes on by what it knows: keys, routes, and the slices of limits that it has
            metrics=lambda: lines(parts),
            details=lambda: {"snapshot": parts.snapshot().version},
        )
        service.beside(Look(standing.waits, "database", platform.database.ping).run())
        service.ready()
        await standing.stopping.wait()
        await service.close()

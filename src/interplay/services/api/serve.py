"""The API as a process of its own."""

from __future__ import annotations

from interplay.bootstrap import database_of, open_platform
from interplay.core.errors import SetupError
from interplay.services.api.app import make_app
from interplay.services.api.first_key import ensure_first_key
from interplay.settings import Settings
from interplay.web_server import Serving, serve_until_asked


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    async with database_of(settings) as url, open_platform(settings, url, alone=False, patience=60.0) as platform:
        if settings.key is not None:
            await ensure_first_key(platform, "INTERPLAY_KEY", settings.key)
        elif not platform.tenancy.snapshots.current.keys:
            raise SetupError(
                "There is no key yet that anybody could call the API with.",
                where="INTERPLAY_KEY",
                advice="Set it to a long random text once: it becomes the first key, with all scopes.",
            )
        loopback = settings.host in ("127.0.0.1", "::1", "localhost")
        app = make_app(platform, loopback)
        await serve_until_asked(Serving(app), settings.host, settings.port)

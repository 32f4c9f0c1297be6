"""The API as a process of its own."""

from __future__ import annotations

import asyncio
import signal

import uvicorn

from interplay.bootstrap import database_of, open_platform
from interplay.core.errors import SetupError
from interplay.services.api.app import make_app
from interplay.settings import Settings


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    if settings.key is None:
        raise SetupError(
            "The API needs a key that callers send.", where="INTERPLAY_KEY", advice="Set it to a long random text."
        )
    async with database_of(settings) as url, open_platform(settings, url, alone=False, patience=60.0) as platform:
        loopback = settings.host in ("127.0.0.1", "::1", "localhost")
        app = make_app(platform, settings.key, loopback)
        config = uvicorn.Config(
            app, host=settings.host, port=settings.port, log_level="warning", access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            server.should_exit = True

        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        await server._serve()

"""Starts the model server and serves until it is asked to stop."""

from __future__ import annotations

from pathlib import Path

import uvicorn

from interplay.bootstrap_models import machine_models
from interplay.services.model_server.app import make_app


async def serve(host: str, port: int, directory: Path, idle_seconds: float) -> None:
    app = make_app(machine_models(directory, idle_seconds))
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False, lifespan="on")
    await uvicorn.Server(config).serve()

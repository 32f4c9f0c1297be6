"""Starts the model server and serves until it is asked to stop."""

from __future__ import annotations

from pathlib import Path

from interplay.bootstrap_models import machine_models
from interplay.services.model_server.app import make_app
from interplay.web_server import Serving, serve_until_asked


async def serve(host: str, port: int, directory: Path, idle_seconds: float) -> None:
    await serve_until_asked(Serving(make_app(machine_models(directory, idle_seconds)), lifespan="on"), host, port)

"""The control plane: one OpenAPI document over the routes, behind the guard."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from interplay.bootstrap import Platform
from interplay.core.errors import InterplayError
from interplay.services.api import problems
from interplay.services.api.context import make_context
from interplay.services.api.flows import flows
from interplay.services.api.guard import Guard
from interplay.services.api.others import others
from interplay.services.api.runs import runs

VERSION = "0.1.0"


def make_api(platform: Platform | None) -> FastAPI:
    """The routes. Without a platform only their description is of use."""
    app = FastAPI(
        title="Interplay",
        version=VERSION,
        description="Compose any models into flows, run them durably, and steer the runs.",
        docs_url="/docs",
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # what generated clients call their functions
    )
    for group in (flows, runs, others):
        app.include_router(group.router)
    problems.install(app)
    if platform is not None:
        app.state.context = make_context(platform)
    return app


def make_app(platform: Platform, token: str | None, loopback_only: bool = True) -> Guard:
    """What a server serves."""
    api = make_api(platform)
    guard = Guard(api, token, loopback_only)
    _health(api, platform, guard)
    return guard


def _health(app: FastAPI, platform: Platform, guard: Guard) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        reasons: dict[str, Any] = {}
        try:
            await platform.database.ping()
        except InterplayError as away:
            reasons["database"] = str(away)
        return JSONResponse(
            {"status": "not ready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200
        )

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        lines = [f'interplay_http_requests_total{{status="{s}"}} {n}' for s, n in sorted(guard.requests.items())]
        lines.append(f"interplay_http_seconds_total {guard.seconds:.6f}")
        try:
            counts = (await platform.runs.statistics())["runs"]
            lines += [f'interplay_runs{{status="{status}"}} {n}' for status, n in sorted(counts.items())]
        except InterplayError:
            lines.append("interplay_database_up 0")
        return PlainTextResponse("\n".join(lines) + "\n")

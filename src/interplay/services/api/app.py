"""The control plane: one OpenAPI document over the routes, behind the guard."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi_offline import FastAPIOffline

from interplay.bootstrap import Platform
from interplay.core.errors import InterplayError
from interplay.services.api import problems
from interplay.services.api.context import make_context
from interplay.services.api.description import describe
from interplay.services.api.flows import flows
from interplay.services.api.guard import Guard
from interplay.services.api.hooks import install_hooks
from interplay.services.api.keys import keys
from interplay.services.api.others import others
from interplay.services.api.projects import projects
from interplay.services.api.routing import routing
from interplay.services.api.runs import runs
from interplay.services.api.schedules import schedules
from interplay.services.api.triggers import triggers
from interplay.services.api.usage import usage
from interplay.services.api.webhooks import webhooks

VERSION = "0.1.0"


def make_api(platform: Platform | None) -> FastAPI:
    """The routes. Without a platform only their description is of use."""
    app = FastAPIOffline(
        title="Interplay",
        version=VERSION,
        description="Compose any models into flows, run them durably, and steer the runs.",
        docs_url="/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url="/docs/oauth2-redirect",
        generate_unique_id_function=lambda route: route.name,  # what generated clients call their functions
    )
    groups = (flows, runs, others, schedules, triggers, webhooks, keys, projects, usage, routing)
    for group in groups:
        app.include_router(group.router)
    problems.install(app)
    if platform is not None:
        app.state.context = make_context(platform)
    answers = {name: answer for group in groups for name, answer in group.answers.items()}
    paths_and_bodies = app.openapi
    app.openapi = functools.cache(lambda: describe(paths_and_bodies(), answers))  # type: ignore[method-assign]
    return app


def make_app(
    platform: Platform,
    loopback_only: bool = True,
    counted: Callable[[], list[str]] = list,
    ailing: Mapping[str, str] | None = None,
    away: Mapping[str, str] | None = None,
) -> Guard:
    """What a server serves. `counted`: more lines for /metrics, of what runs beside the API. `ailing`: the parts of
    this process that do not work right now, each with why; `away`: those that it can do without for a while."""
    api = make_api(platform)
    install_hooks(api, platform.receive_hook())
    guard = Guard(api, platform.tenancy.admit.authenticate, loopback_only)
    _readiness(api, platform, ailing if ailing is not None else {}, away if away is not None else {})
    _metrics(api, platform, guard, counted)
    return guard


def _readiness(app: FastAPI, platform: Platform, ailing: Mapping[str, str], away: Mapping[str, str]) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        reasons: dict[str, Any] = dict(ailing)
        try:
            await platform.database.ping()
        except InterplayError as gone:
            reasons["database"] = str(gone)
        status = "not ready" if reasons else "degraded" if away else "ready"
        return JSONResponse({"status": status, "reasons": {**away, **reasons}}, 503 if reasons else 200)


def _metrics(app: FastAPI, platform: Platform, guard: Guard, counted: Callable[[], list[str]]) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> PlainTextResponse:
        lines = [f'interplay_http_requests_total{{status="{s}"}} {n}' for s, n in sorted(guard.requests.items())]
        lines.append(f"interplay_http_seconds_total {guard.seconds:.6f}")
        lines += _tenancy_metrics(platform)
        lines += counted()
        try:
            counts = (await platform.runs.statistics())["runs"]
            lines += [f'interplay_runs{{status="{status}"}} {n}' for status, n in sorted(counts.items())]
        except InterplayError:
            lines.append("interplay_database_up 0")
        return PlainTextResponse("\n".join(lines) + "\n")


def _tenancy_metrics(platform: Platform) -> list[str]:
    tenancy = platform.tenancy
    return [
        f"interplay_config_version {tenancy.snapshots.current.version}",
        f"interplay_usage_records_total {tenancy.writer.written}",
        f"interplay_usage_waiting {tenancy.writer.waiting}",
        f"interplay_usage_lost_total {tenancy.writer.lost}",
        f"interplay_usage_unpriced_total {tenancy.writer.unpriced}",
    ]

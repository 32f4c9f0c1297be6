"""What the routes work with: the platform's use cases, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request

from interplay.bootstrap import PROJECT, Platform, new_id
from interplay.use_cases.fork_run import ForkRun
from interplay.use_cases.register_models import RegisterModels
from interplay.use_cases.replay_run import ReplayRun
from interplay.use_cases.save_flow import SaveFlow
from interplay.use_cases.steer_run import SteerRun
from interplay.use_cases.submit_run import SubmitRun
from interplay.use_cases.view_run import ViewRun

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(slots=True)
class Context:
    platform: Platform
    save: SaveFlow
    submit: SubmitRun
    steer: SteerRun
    view: ViewRun
    forks: ForkRun
    replays: ReplayRun
    models: RegisterModels
    project: int = PROJECT


def make_context(platform: Platform) -> Context:
    history = platform.history()
    return Context(
        platform,
        SaveFlow(platform.flows, platform.models, platform.plans),
        SubmitRun(platform.runs, platform.flows, platform.plans, platform.bus, new_id),
        SteerRun(platform.runs, platform.bus, new_id),
        ViewRun(platform.runs, history),
        platform.forks(),
        platform.replays(),
        RegisterModels(platform.models),
    )


def context_of(request: Request) -> Context:
    found: Context = request.app.state.context
    return found


class ScopedRouter:
    """Routes that cannot be declared without the scope that they need."""

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(prefix="/api/v1", tags=[tag])

    def route(self, method: str, path: str, scope: str, *, status_code: int = 200) -> Callable[[Handler], Handler]:
        extra = {"x-scope": scope}
        return self.router.api_route(path, methods=[method], openapi_extra=extra, status_code=status_code)

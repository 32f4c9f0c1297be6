"""What the routes work with: the platform's use cases, made once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request

from interplay.bootstrap import PROJECT, Platform, new_id
from interplay.core.errors import Forbidden, InvalidInput, NotFound
from interplay.core.tenancy.keys import Caller, may
from interplay.core.tenancy.scopes import SCOPES
from interplay.services.api.description import Answer
from interplay.use_cases.explain_route import ExplainRoute
from interplay.use_cases.fork_run import ForkRun
from interplay.use_cases.manage_keys import ManageKeys
from interplay.use_cases.manage_schedules import ManageSchedules
from interplay.use_cases.manage_triggers import ManageTriggers
from interplay.use_cases.manage_webhooks import ManageWebhooks
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
    keys: ManageKeys
    routes: ExplainRoute
    schedules: ManageSchedules
    triggers: ManageTriggers
    webhooks: ManageWebhooks
    project: int = PROJECT
    caller: Caller | None = None
    own: bool = False  # the run is the caller's own, who may not read runs: what its steps gave is not shown

    @property
    def key_id(self) -> UUID | None:
        """The key that asks: what runs use that it starts counts on it."""
        return self.caller.key_id if self.caller is not None else None


def make_context(platform: Platform) -> Context:
    history = platform.history()
    return Context(
        platform,
        SaveFlow(platform.flows, platform.models, platform.plans),
        SubmitRun(platform.runs, platform.flows, platform.plans, platform.bus, new_id),
        SteerRun(platform.runs, platform.bus, platform.clock, new_id),
        ViewRun(platform.runs, history),
        platform.forks(),
        platform.replays(),
        RegisterModels(platform.models),
        ManageKeys(platform.tenancy.keys, platform.clock, new_id),
        ExplainRoute(platform.live, platform.clock),
        ManageSchedules(platform.schedules, platform.prepare_fire(), platform.bus, new_id),
        ManageTriggers(
            platform.trigger_store, platform.flows, platform.broker.readers, platform.bus, platform.webhooks.keys
        ),
        ManageWebhooks(platform.webhooks.store, platform.webhooks.sender, platform.webhooks.keys, platform.bus, new_id),
    )


async def context_of(request: Request) -> Context:
    """The project is the key's; one that sees all projects may name another in the header `Interplay-Project`."""
    found: Context = request.app.state.context
    caller: Caller = request.state.caller
    named = request.headers.get("interplay-project")
    project = caller.project_id if named is None else _project_of(found, caller, named, request.method)
    return replace(found, project=project, caller=caller, own=getattr(request.state, "own", False))


def _project_of(use: Context, caller: Caller, named: str, method: str) -> int:
    projects = use.platform.tenancy.snapshots.current.projects
    number = int(named) if named.isascii() and named.isdigit() and len(named) < 10 else projects.get(named)
    if number == caller.project_id:
        return caller.project_id
    refuse_without(caller, "projects:read" if method in ("GET", "HEAD") else "projects:write")
    if number is None or number not in projects.values():
        raise NotFound.named("project", named, projects)
    return number


def refuse_without(caller: Caller, scope: str) -> None:
    """Raises Forbidden, which names the scope, when the caller's key does not have it."""
    if not may(caller.key, scope):
        raise Forbidden(
            f"The key {caller.key.name!r} may not do this: it has not the scope {scope}.",
            where=scope,
            advice="Use a key that has it; `interplay keys show` says what a key may do.",
        )


def needs(scope: str, own: bool = False) -> Callable[[Request], Awaitable[None]]:
    """`own`: a key may do it without the scope to a run that it started itself, named by its whole id. `Context.own`
    says so."""

    async def check(request: Request) -> None:
        caller: Caller = request.state.caller
        if own and not may(caller.key, scope) and await _started(request, caller):
            request.state.own = True
            return
        refuse_without(caller, scope)

    return check


async def _started(request: Request, caller: Caller) -> bool:
    found: Context = request.app.state.context
    try:
        record = await found.platform.runs.get(caller.project_id, UUID(request.path_params["run"]))
    except (ValueError, NotFound):
        return False
    return record.key_id == caller.key_id


def id_of(text: str, where: str) -> UUID:
    """Raises InvalidInput for a text that is none."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no id of a {where}.", where=where, advice="It is a UUID.") from None


def _described(meaning: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {"description": meaning, "content": {"application/problem+json": {"schema": schema}}}


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: _described("No key, or one that is not valid here."),
    403: _described("The key has not the scope that this needs; `where` names it."),
    404: _described("Nothing of that name or id; near names in `advice`."),
    405: _described("Another method is meant for this path; `Allow` and `advice` name those that it has."),
    409: _described("Not possible in the state that the thing is in."),
    413: _described("The body is over the limit."),
    422: _described("What was sent is wrong; `where` says what, a flow has all its `problems`."),
    503: _described("A part is away; `Retry-After` says when to come back."),
}


class ScopedRouter:
    """Routes that cannot be declared without the scope that they need; `answers` is what they answer, by name."""

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(prefix="/api/v1", tags=[tag])
        self.answers: dict[str, Answer] = {}

    def route(
        self,
        method: str,
        path: str,
        scope: str,
        *,
        answer: Any = None,
        status_code: int = 200,
        also: int | None = None,
        body: dict[str, Any] | None = None,
        own: bool = False,
    ) -> Callable[[Handler], Handler]:
        """`answer`: what of `contracts.http.answers` it answers with `status_code`, and with `also` if there is one.
        Only described: nothing is validated on the way. None for a route that answers 204. `body`: the JSON Schema
        of a body that the route reads by itself. `own`: see `needs`.
        """
        if scope not in SCOPES:
            raise ValueError(f"{path} needs {scope!r}, which core/tenancy/scopes.py does not know")
        extra: dict[str, Any] = {"x-scope": scope}
        if body is not None:
            extra["requestBody"] = {"content": {"application/json": {"schema": body}}}
        declare = self.router.api_route(
            path,
            methods=[method],
            openapi_extra=extra,
            status_code=status_code,
            responses=dict(PROBLEMS),
            dependencies=[Depends(needs(scope, own))],
        )

        def declared(handler: Handler) -> Handler:
            if isinstance(answer, Answer):
                self.answers[handler.__name__] = answer
            elif answer is not None:
                statuses = (status_code,) if also is None else (status_code, also)
                self.answers[handler.__name__] = Answer(answer, statuses)
            return declare(handler)

        return declared

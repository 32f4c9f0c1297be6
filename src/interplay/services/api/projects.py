"""Routes of projects and budgets."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Path, Response

from interplay.contracts.http import answers
from interplay.contracts.http.tenancy_v1 import AmountBody, LimitsBody, Period, ProjectBody
from interplay.core.errors import InterplayError
from interplay.core.tenancy.keys import Project
from interplay.core.tenancy.limits import MICROS, Budget, Limits, Meter, budget_meters
from interplay.ports.key_store import ORGANISATION
from interplay.services.api.context import Context, ScopedRouter, context_of, id_of, refuse_without

projects = ScopedRouter("projects")
Use = Annotated[Context, Depends(context_of)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
_PAGE: Final = 500


def _shown(project: Project) -> dict[str, Any]:
    return {
        "project": project.project_id,
        "name": project.name,
        "limits": msgspec.to_builtins(project.limits),
        "budgets": [{"usd": budget.usd, "period": budget.period} for budget in project.budgets],
        "created_at": project.created_at,
    }


@projects.route("GET", "/projects", "projects:read", answer=answers.ProjectPage)
async def list_projects(use: Use) -> dict[str, Any]:
    """All projects of the organisation."""
    found = await use.platform.tenancy.keys.projects()
    return {"items": [_shown(project) for project in found], "next": None}


@projects.route("POST", "/projects", "projects:write", answer=answers.Project, status_code=201)
async def create_project(body: ProjectBody, use: Use) -> dict[str, Any]:
    """A new project. Its keys are made with the header `Interplay-Project`. A name that is taken is a conflict."""
    made = await use.platform.tenancy.keys.create_project(body.name, _limits(body.limits))
    await use.platform.tenancy.snapshots.refresh()
    return _shown(made)


@projects.route("GET", "/projects/{project}", "projects:read", answer=answers.Project)
async def get_project(project: Number, use: Use) -> dict[str, Any]:
    return _shown(await use.platform.tenancy.keys.project(project))


@projects.route("PUT", "/projects/{project}/limits", "projects:write", answer=answers.Project)
async def put_limits(project: Number, body: LimitsBody, use: Use) -> dict[str, Any]:
    """The limits that all keys of the project share."""
    changed = await use.platform.tenancy.keys.put_limits(project, _limits(body))
    await use.platform.tenancy.snapshots.refresh()
    return _shown(changed)


def _limits(body: LimitsBody) -> Limits:
    made: Limits = msgspec.convert(body.model_dump(exclude_none=True), Limits)
    return made


@projects.route("GET", "/budgets", "budgets:read", answer=answers.BudgetPage)
async def list_budgets(use: Use) -> dict[str, Any]:
    """The budgets of the project and its keys, and the organisation's for whoever sees all projects.

    `leased`: what is spent, and what servers have taken in advance to spend it.
    """
    keys = use.platform.tenancy.keys
    own = await keys.project(use.project)
    found: list[tuple[str, tuple[Meter, ...]]] = [("project", budget_meters("project", str(use.project), own.budgets))]
    after = None
    while page := await keys.page(use.project, _PAGE, after):
        found += [(str(key.key_id), budget_meters("key", str(key.key_id), key.budgets)) for key in page]
        after = page[-1].key_id
    if use.caller is not None and "projects:read" in use.caller.key.scopes:
        found.append(("organisation", budget_meters("organisation", "all", await keys.organisation())))
    leased = await use.platform.tenancy.allowances.used([meter.meter_id for _, meters in found for meter in meters])
    items = [
        {
            "subject": subject,
            "period": meter.window,
            "usd": meter.cap / MICROS,
            "leased": leased[meter.meter_id] / MICROS,
        }
        for subject, meters in found
        for meter in meters
    ]
    return {"items": items, "next": None}


@projects.route("PUT", "/budgets/{subject}/{period}", "budgets:write", answer=answers.BudgetPut)
async def put_budget(subject: str, period: Period, body: AmountBody, use: Use) -> dict[str, Any]:
    """`subject`: `organisation`, `project`, or a key's id. The first two need the scope `projects:write` as well."""
    owner, key = _owner(use, subject)
    await use.platform.tenancy.keys.put_budget(owner, key, Budget(body.usd, period))
    await use.platform.tenancy.snapshots.refresh()
    return {"subject": subject, "period": period, "usd": body.usd}


@projects.route("DELETE", "/budgets/{subject}/{period}", "budgets:write", status_code=204)
async def delete_budget(subject: str, period: Period, use: Use) -> Response:
    owner, key = _owner(use, subject)
    await use.platform.tenancy.keys.delete_budget(owner, key, period)
    await use.platform.tenancy.snapshots.refresh()
    return Response(status_code=204)


def _owner(use: Context, subject: str) -> tuple[int, Any]:
    """Whoever lives below a budget does not raise it: those of project and organisation are set from above."""
    if subject not in ("organisation", "project"):
        return use.project, id_of(subject, "key")
    if use.caller is None:
        raise InterplayError("A budget is set by a caller with a key.")
    refuse_without(use.caller, "projects:write")
    return (ORGANISATION if subject == "organisation" else use.project), None

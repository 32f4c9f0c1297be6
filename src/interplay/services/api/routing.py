"""Routes that look at routing: what would be chosen for a call, and what shadows answered."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Query, Request

from interplay.contracts.http import answers
from interplay.contracts.http.v1 import RouteBody
from interplay.core.errors import InvalidInput, NotFound
from interplay.services.api.context import Context, ScopedRouter, context_of
from interplay.use_cases.explain_route import RouteQuestion

routing = ScopedRouter("routing")
Use = Annotated[Context, Depends(context_of)]
_DECODER = msgspec.json.Decoder(RouteBody)
_SCHEMA: Final[dict[str, Any]] = msgspec.json.schema_components([RouteBody])[1]["RouteBody"]


@routing.route("POST", "/models/{name}/route", "models:read", answer=answers.RouteView, body=_SCHEMA)
async def explain_route(name: str, request: Request, use: Use) -> dict[str, Any]:
    """What would be chosen for this call and why, each deployment with its reason. Nothing is called."""
    try:
        body = _DECODER.decode(await request.body() or b"{}")
    except msgspec.DecodeError as wrong:
        raise InvalidInput(f"The body is not what a route is asked for: {wrong}.", where="body") from None
    question = RouteQuestion(body.request, body.metadata, body.key, body.headers, body.user)
    view: dict[str, Any] = msgspec.to_builtins(await use.routes.run(use.project, name, question))
    return view


@routing.route("GET", "/models/{name}/shadows", "models:read", answer=answers.ComparisonPage)
async def list_shadows(name: str, use: Use, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
    """What the shadow of the alias answered beside what was given, newest first."""
    models = (await use.platform.models.load(use.project)).models
    if name not in models:
        raise NotFound.named("model", name, models)
    found = await use.platform.comparisons.newest(use.project, name, limit)
    return {"items": [msgspec.to_builtins(comparison) for comparison in found], "next": None}

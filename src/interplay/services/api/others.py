"""Routes of approvals, batches, models, connections and the system."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query, Request, Response

from interplay.contracts.http.v1 import BatchBody, DecisionBody
from interplay.core.errors import InvalidInput, InvalidRunInputs, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import decode_value
from interplay.services.api.context import Context, ScopedRouter, context_of
from interplay.services.api.runs import run_id_of
from interplay.use_cases.steer_run import Decision
from interplay.use_cases.submit_run import RunRequest

others = ScopedRouter("others")
Use = Annotated[Context, Depends(context_of)]


@others.route("GET", "/approvals", "approvals:read")
async def list_approvals(use: Use, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> dict[str, Any]:
    """What waits for a person, nearest deadline first."""
    found = await use.platform.runs.waiting(use.project, "approval", limit)
    items = [
        {
            "run": str(entry.run_id),
            "flow": entry.flow_name,
            "step": entry.step_key,
            "due_at": entry.due_at,
            "since": entry.since,
            **(decode_value(entry.body) or {}),
        }
        for entry in found
    ]
    return {"items": items, "next": None}


@others.route("POST", "/approvals/{run}/{step}", "approvals:decide")
async def decide(run: str, step: str, body: DecisionBody, use: Use) -> dict[str, Any]:
    """Approves or rejects."""
    decision = Decision(body.decision, body.by, body.fields, body.comment)
    fresh = await use.steer.decide(use.project, run_id_of(run), step, decision)
    return {"run": run, "step": step, "decision": body.decision, "new": fresh}


@others.route("POST", "/batches", "runs:write", status_code=202)
async def start_batch(body: BatchBody, use: Use) -> dict[str, Any]:
    """One run a row. Sent again, rows that were there are found, not started twice."""
    batch_id = derived_uuid("batch", str(use.project), body.name, body.flow)
    requests = [
        RunRequest(body.flow, row.inputs, body.channel, body.version, f"batch:{batch_id}:{row.key}", batch_id=batch_id)
        for row in body.rows
    ]
    try:
        created = await use.submit.run(use.project, requests)
    except InvalidRunInputs as wrong:
        advice = f"{wrong.advice or ''} No row of this request was started.".strip()
        raise InvalidRunInputs(wrong.detail, where=wrong.where, advice=advice) from None
    rows = [
        {"key": row.key, "run": str(made.run_id), "new": made.created}
        for row, made in zip(body.rows, created, strict=True)
    ]
    return {"batch": str(batch_id), "rows": rows}


@others.route("GET", "/batches/{batch}", "runs:read")
async def get_batch(batch: str, use: Use) -> dict[str, Any]:
    counts = await use.platform.runs.batch(use.project, run_id_of(batch))
    by_status = {status.name.lower(): n for status, n in counts.by_status.items()}
    return {"batch": batch, "total": counts.total, "by_status": by_status}


@others.route("GET", "/models", "models:read")
async def list_models(use: Use) -> dict[str, Any]:
    registry = await use.platform.models.load(use.project)
    return {"items": [msgspec.to_builtins(model) for _, model in sorted(registry.models.items())], "next": None}


@others.route("GET", "/models/{name}", "models:read")
async def get_model(name: str, use: Use) -> dict[str, Any]:
    models = (await use.platform.models.load(use.project)).models
    if name not in models:
        raise NotFound.named("model", name, models)
    found: dict[str, Any] = msgspec.to_builtins(models[name])
    return found


@others.route("PUT", "/models/{name}", "models:write")
async def put_model(name: str, request: Request, use: Use) -> dict[str, Any]:
    changed = await use.models.put_model(use.project, {**await _object(request), "name": name})
    return {"model": name, "changed": changed}


@others.route("DELETE", "/models/{name}", "models:write", status_code=204)
async def delete_model(name: str, use: Use) -> Response:
    await use.platform.models.delete_model(use.project, name)
    return Response(status_code=204)


@others.route("GET", "/connections", "models:read")
async def list_connections(use: Use) -> dict[str, Any]:
    registry = await use.platform.models.load(use.project)
    return {"items": [msgspec.to_builtins(c) for _, c in sorted(registry.connections.items())], "next": None}


@others.route("PUT", "/connections/{name}", "models:write")
async def put_connection(name: str, request: Request, use: Use) -> dict[str, Any]:
    changed = await use.models.put_connection(use.project, {**await _object(request), "name": name})
    return {"connection": name, "changed": changed}


@others.route("DELETE", "/connections/{name}", "models:write", status_code=204)
async def delete_connection(name: str, use: Use) -> Response:
    await use.platform.models.delete_connection(use.project, name)
    return Response(status_code=204)


@others.route("GET", "/system", "system:read")
async def system(use: Use) -> dict[str, Any]:
    """Runs by status, workers with their leases, table sizes."""
    return await use.platform.runs.statistics()


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(await request.body())
    except msgspec.DecodeError as wrong:
        raise InvalidInput(f"The body is not JSON: {wrong}.", where="body") from None
    if not isinstance(body, dict):
        raise InvalidInput("The body must be a JSON object.", where="body")
    return body

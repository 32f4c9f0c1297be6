"""Routes of approvals, batches, models, connections and the system."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import Depends, Request, Response

from interplay.contracts.http import answers
from interplay.contracts.http.v1 import BatchBody, DecisionBody
from interplay.core.errors import InvalidInput, InvalidRunInputs, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.models.accepting import shown
from interplay.core.models.registry import Connection
from interplay.core.runs.events import decode_value
from interplay.ports.run_store import BatchCounts, RequestKey
from interplay.services.api.bodies import decoded, keepable
from interplay.services.api.context import Context, ScopedRouter, context_of, id_of
from interplay.services.api.pages import Cursor, Limit, cursor_of, page_by_name, place_of
from interplay.services.api.runs import Key, Run
from interplay.use_cases.steer_run import Decision
from interplay.use_cases.submit_run import RunRequest

others = ScopedRouter("others")
Use = Annotated[Context, Depends(context_of)]


@others.route("GET", "/approvals", "approvals:read", answer=answers.ApprovalPage)
async def list_approvals(use: Use, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """What waits for a person, nearest deadline first."""
    after = place_of(cursor, tuple[float | None, UUID, str]) if cursor else None
    found = await use.platform.runs.waiting(use.project, "approval", limit, after=after)
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
    return {"items": items, "next": cursor_of(found[-1].place) if len(found) == limit else None}


@others.route("POST", "/approvals/{run}/{step}", "approvals:decide", answer=answers.Decided)
async def decide(run: Run, step: str, body: DecisionBody, use: Use) -> dict[str, Any]:
    """Approves or rejects."""
    decision = Decision(body.decision, body.by, body.fields, body.comment)
    fresh = await use.steer.decide(use.project, run, step, decision)
    return {"run": str(run), "step": step, "decision": body.decision, "new": fresh}


@others.route("POST", "/batches", "runs:write", answer=answers.BatchStarted, status_code=202)
async def start_batch(body: BatchBody, use: Use, key: Key = None) -> dict[str, Any]:
    """One run a row. Sent again, rows that were there are found, not started twice.

    An `Idempotency-Key` holds the whole request: the same key with another one is a conflict.
    """
    keepable([body.name, body.flow, body.channel, body.version, *(row.key for row in body.rows)], "The body")
    batch_id = derived_uuid("batch", str(use.project), body.name, body.flow)
    requests = [
        RunRequest(
            body.flow,
            row.inputs,
            body.channel,
            body.version,
            f"batch:{batch_id}:{row.key}",
            batch_id=batch_id,
            key_id=use.key_id,
        )
        for row in body.rows
    ]
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    whole = RequestKey(use.project, key, digest) if key is not None else None
    try:
        created = await use.submit.run(use.project, requests, whole)
    except InvalidRunInputs as wrong:
        advice = f"{wrong.advice or ''} No row of this request was started.".strip()
        raise InvalidRunInputs(wrong.detail, where=wrong.where, advice=advice) from None
    rows = [
        {"key": row.key, "run": str(made.run_id), "new": made.created}
        for row, made in zip(body.rows, created, strict=True)
    ]
    return {"batch": str(batch_id), "rows": rows}


@others.route("GET", "/batches", "runs:read", answer=answers.BatchPage)
async def list_batches(use: Use, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
    """Newest first, each with how its runs stand."""
    before = place_of(cursor, tuple[float, UUID]) if cursor else None
    found = await use.platform.runs.batches(use.project, limit, before)
    items = [{**_counted(entry.counts), "flow": entry.flow_name, "created_at": entry.created_at} for entry in found]
    last = (found[-1].created_at, found[-1].counts.batch_id) if len(found) == limit else None
    return {"items": items, "next": cursor_of(last) if last is not None else None}


@others.route("GET", "/batches/{batch}", "runs:read", answer=answers.Batch)
async def get_batch(batch: str, use: Use) -> dict[str, Any]:
    """How the runs of a batch stand."""
    return _counted(await use.platform.runs.batch(use.project, id_of(batch, "batch")))


def _counted(counts: BatchCounts) -> dict[str, Any]:
    by_status = {status.name.lower(): n for status, n in counts.by_status.items()}
    return {"batch": str(counts.batch_id), "total": counts.total, "by_status": by_status}


@others.route("GET", "/models", "models:read", answer=answers.ModelPage)
async def list_models(use: Use, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """By name."""
    return page_by_name((await use.platform.models.load(use.project)).models, limit, cursor)


@others.route("GET", "/models/{name}", "models:read", answer=answers.Model)
async def get_model(name: str, use: Use) -> dict[str, Any]:
    """One model."""
    return _named("model", name, (await use.platform.models.load(use.project)).models)


def _named(noun: str, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
    if name not in known:
        raise NotFound.named(noun, name, known)
    found: dict[str, Any] = msgspec.to_builtins(known[name])
    return found


@others.route("PUT", "/models/{name}", "models:write", answer=answers.ModelPut)
async def put_model(name: str, request: Request, use: Use) -> dict[str, Any]:
    changed = await use.models.put_model(use.project, {**await _object(request), "name": name})
    await use.platform.tenancy.snapshots.refresh()  # the next call of this process goes by it
    return {"model": name, "changed": changed}


@others.route("DELETE", "/models/{name}", "models:write", status_code=204)
async def delete_model(name: str, use: Use) -> Response:
    await use.platform.models.delete_model(use.project, name)
    await use.platform.tenancy.snapshots.refresh()
    return Response(status_code=204)


@others.route("GET", "/connections", "models:read", answer=answers.ConnectionPage)
async def list_connections(use: Use, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """By name. Keys are in them as `secret://name` only."""
    return page_by_name(await _connections(use), limit, cursor)


@others.route("GET", "/connections/{name}", "models:read", answer=answers.Connection)
async def get_connection(name: str, use: Use) -> dict[str, Any]:
    """One connection. Its key is in it as `secret://name` only."""
    return _named("connection", name, await _connections(use))


async def _connections(use: Context) -> dict[str, Connection]:
    return {name: shown(one) for name, one in (await use.platform.models.load(use.project)).connections.items()}


@others.route("PUT", "/connections/{name}", "models:write", answer=answers.ConnectionPut)
async def put_connection(name: str, request: Request, use: Use) -> dict[str, Any]:
    changed = await use.models.put_connection(use.project, {**await _object(request), "name": name})
    await use.platform.tenancy.snapshots.refresh()
    return {"connection": name, "changed": changed}


@others.route("DELETE", "/connections/{name}", "models:write", status_code=204)
async def delete_connection(name: str, use: Use) -> Response:
    await use.platform.models.delete_connection(use.project, name)
    return Response(status_code=204)


@others.route("GET", "/system", "system:read", answer=answers.System)
async def system(use: Use) -> dict[str, Any]:
    """Runs by status, workers with their leases, table sizes."""
    return await use.platform.runs.statistics()


async def _object(request: Request) -> dict[str, Any]:
    body = decoded(await request.body(), msgspec.json.decode, "JSON")
    if not isinstance(body, dict):
        raise InvalidInput("The body must be a JSON object.", where="body")
    return body

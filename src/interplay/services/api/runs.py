"""Routes of runs: start, look, follow, steer, fork, replay."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from interplay.bootstrap import new_id
from interplay.contracts.http.v1 import ForkBody, RunBody
from interplay.core.errors import InvalidInput
from interplay.core.runs.status import RunStatus
from interplay.ports.run_store import RunFilter
from interplay.services.api.context import Context, ScopedRouter, context_of
from interplay.services.api.follow import follow_events, read_events
from interplay.use_cases.fork_run import ForkRequest
from interplay.use_cases.submit_run import RunRequest
from interplay.use_cases.view_run import listed

runs = ScopedRouter("runs")
MOST_WAIT = 300.0  # seconds
Use = Annotated[Context, Depends(context_of)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
_RUN_DECODER = msgspec.json.Decoder(RunBody)
_ENCODER = msgspec.json.Encoder()


def _json(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(_ENCODER.encode(body), status, headers, media_type="application/json")


def run_id_of(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no run id.", where="run", advice="A run id is a UUID.") from None


@runs.route("POST", "/runs", "runs:write", status_code=202)
async def start_run(request: Request, use: Use, key: Key = None, wait: float = 0.0) -> Response:
    """Starts a run. With `?wait=30` the answer has the result when it is there in time (200), else 202."""
    try:
        body = _RUN_DECODER.decode(await request.body())
    except msgspec.DecodeError as wrong:
        raise InvalidInput(f"The body is not what starts a run: {wrong}.", where="body") from None
    run_id = new_id()
    wanted = RunRequest(
        body.flow,
        body.inputs,
        body.channel,
        body.version,
        key,
        body.priority,
        body.labels,
        run_id=run_id,
    )
    if wait <= 0:
        created = (await use.submit.run(use.project, [wanted]))[0]
        view = await use.view.summary(use.project, created.run_id)
        return _json(view, 202 if view["status"] in _OPEN else 200, Location=f"/api/v1/runs/{created.run_id}")
    async with use.platform.bus.subscribe(f"run.{run_id}") as messages:
        created = (await use.submit.run(use.project, [wanted]))[0]
        if created.created:
            await _ended(use, run_id, messages, min(wait, MOST_WAIT))
    view = await use.view.summary(use.project, created.run_id)
    return _json(view, 202 if view["status"] in _OPEN else 200, Location=f"/api/v1/runs/{created.run_id}")


_OPEN = frozenset({"queued", "running", "waiting"})


async def _ended(use: Context, run_id: UUID, messages: Any, wait: float) -> None:
    """Returns when the run has ended, or the time is over; looks now and then, in case a hint got lost."""
    deadline = asyncio.get_running_loop().time() + wait
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(left, 1.0)):
                async for _, message in messages:
                    if message.get("ended"):
                        return
        if (await use.platform.runs.get(use.project, run_id)).status.ended:
            return


@runs.route("GET", "/runs", "runs:read")
async def list_runs(
    use: Use,
    flow: str | None = None,
    version: str | None = None,
    status: Annotated[list[str] | None, Query()] = None,
    batch: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Newest first. `next` is the cursor of the following page, absent on the last."""
    wanted = RunFilter(flow, version, _statuses(status), UUID(batch) if batch else None)
    before = run_id_of(cursor) if cursor else None
    found = await use.platform.runs.page(use.project, wanted, limit, before)
    following = str(found[-1].run_id) if len(found) == limit else None
    return _json({"items": [listed(record) for record in found], "next": following})


def _statuses(names: list[str] | None) -> tuple[RunStatus, ...]:
    known = {status.name.lower(): status for status in RunStatus}
    for name in names or ():
        if name not in known:
            raise InvalidInput(f"{name!r} is no status.", where="status", advice=f"One of {', '.join(known)}.")
    return tuple(known[name] for name in names or ())


@runs.route("GET", "/runs/{run}", "runs:read")
async def get_run(run: str, use: Use, view: str = "summary") -> Response:
    """One run. `?view=full` adds its steps, where the time went and what it cost."""
    run_id = run_id_of(run)
    if view == "full":
        return _json(await use.view.full(use.project, run_id))
    return _json(await use.view.summary(use.project, run_id))


@runs.route("GET", "/runs/{run}/events", "runs:read")
async def run_events(
    run: str,
    use: Use,
    after: int = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """The journal as JSON; with `Accept: text/event-stream` as it grows, from `Last-Event-ID` on."""
    run_id = run_id_of(run)
    start = int(last) if last is not None and last.isdigit() else after
    if "text/event-stream" not in accept:
        items = await read_events(use, run_id, start, limit)
        return _json({"items": items, "next": str(items[-1]["seq"]) if len(items) == limit else None})
    await use.platform.runs.get(use.project, run_id)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow_events(use, run_id, start), media_type="text/event-stream", headers=headers)


@runs.route("GET", "/runs/{run}/steps/{step}/explain", "runs:read")
async def explain_step(run: str, step: str, use: Use) -> Response:
    """Why a step was skipped, failed or cancelled."""
    return _json({"step": step, "because": await use.view.explain(use.project, run_id_of(run), step)})


@runs.route("POST", "/runs/{run}/cancel", "runs:write")
async def cancel_run(run: str, use: Use, reason: str = "cancelled by request") -> Response:
    """Stops a run. One that has ended stays as it is."""
    return _json(await use.view.of(await use.steer.cancel(use.project, run_id_of(run), reason)))


@runs.route("POST", "/runs/{run}/signals/{name}", "runs:write")
async def signal_run(run: str, name: str, request: Request, use: Use, key: Key = None) -> Response:
    """Leaves a signal; it may come before its wait."""
    raw = await request.body()
    try:
        payload = msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError as wrong:
        raise InvalidInput(f"The payload is not JSON: {wrong}.", where="body") from None
    fresh = await use.steer.signal(use.project, run_id_of(run), name, payload, key)
    return _json({"run": run, "signal": name, "new": fresh}, 202)


@runs.route("POST", "/runs/{run}/redrive", "runs:write")
async def redrive_run(run: str, use: Use) -> Response:
    """Gives a dead run to the workers again."""
    return _json(await use.view.of(await use.steer.redrive(use.project, run_id_of(run), "api")))


@runs.route("POST", "/runs/{run}/fork", "runs:write", status_code=201)
async def fork_run(run: str, body: ForkBody, use: Use, key: Key = None) -> Response:
    """A new run that keeps what was before a step and runs again from there. `preview` only says what would."""
    digest = _ENCODER.encode([run, body.model_dump()]).decode() if key else None
    request = ForkRequest(run_id_of(run), body.from_step, body.inputs, body.version, key, digest)
    forked = await (use.forks.preview if body.preview else use.forks.run)(use.project, request)
    plan = forked.plan
    expected = {"seconds": plan.expected_seconds, "usage": msgspec.to_builtins(plan.expected_usage)}
    made = str(forked.created.run_id) if forked.created is not None else None
    return _json({"run": made, "rerun": plan.rerun, "kept": plan.kept, "expected": expected}, 201 if made else 200)


@runs.route("POST", "/runs/{run}/replay", "runs:read")
async def replay_run(run: str, use: Use) -> Response:
    """Runs it again from its tape, without any call outside, and compares byte by byte."""
    report = await use.replays.run(use.project, run_id_of(run))
    return _json(
        {
            "equal": report.equal,
            "from_tape": report.steps,
            "computed": report.computed,
            "differences": report.differences,
            "output": report.output,
        }
    )

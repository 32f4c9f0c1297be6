"""Routes of runs: start, look, follow, steer, fork, replay."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from fastapi import Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from interplay.bootstrap import new_id
from interplay.contracts.http import answers
from interplay.contracts.http.v1 import ForkBody, RunBody
from interplay.core.errors import InvalidInput
from interplay.core.runs.status import RunStatus
from interplay.ports.run_store import CreatedRun, RunFilter
from interplay.services.api.bodies import decoded, keepable
from interplay.services.api.context import Context, ScopedRouter, context_of, id_of, refuse_without
from interplay.services.api.description import Answer
from interplay.services.api.follow import follow_events, read_events
from interplay.use_cases.fork_run import ForkRequest
from interplay.use_cases.submit_run import RunRequest
from interplay.use_cases.view_run import listed

runs = ScopedRouter("runs")
MOST_WAIT = 300.0  # seconds
_MOST_EVENTS: Final = 2**31 - 1  # what the ledger numbers events with
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_NAMED: Final = "Its id, or a beginning of at least 6 characters that no other run has."
_BEGINNING: Final = re.compile(r"[0-9a-f]{6,31}")
Use = Annotated[Context, Depends(context_of)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
_RUN_DECODER = msgspec.json.Decoder(RunBody)
_ENCODER = msgspec.json.Encoder()
_RUN_SCHEMA: Final[dict[str, Any]] = msgspec.json.schema_components([RunBody])[1]["RunBody"]


def _json(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(_ENCODER.encode(body), status, headers, media_type="application/json")


async def named_run(run: Annotated[str, Path(description=_NAMED)], use: Use) -> UUID:
    """The run that a path names: by its id, or by a beginning of it that no other run has."""
    with contextlib.suppress(ValueError):
        return UUID(run)
    beginning = run.replace("-", "").lower()
    if _BEGINNING.fullmatch(beginning) is None:
        advice = "It is a UUID, or a beginning of one of at least 6 characters."
        raise InvalidInput(f"{run!r} is no id of a run.", where="run", advice=advice)
    return await use.platform.runs.find(use.project, beginning)


Run = Annotated[UUID, Depends(named_run)]


@runs.route("POST", "/runs", "runs:write", answer=answers.Run, also=200, status_code=202, body=_RUN_SCHEMA)
async def start_run(request: Request, use: Use, key: Key = None, wait: Annotated[float, Query(ge=0)] = 0.0) -> Response:
    """Starts a run. With `?wait=30` the answer has the result when it is there in time (200), else 202."""
    body = decoded(await request.body(), _RUN_DECODER.decode, "what starts a run")
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
        key_id=use.key_id,
    )
    if wait <= 0:
        created = (await use.submit.run(use.project, [wanted]))[0]
        return _started(await _first_view(use, created))
    async with use.platform.bus.subscribe(f"run.{run_id}") as messages:
        created = (await use.submit.run(use.project, [wanted]))[0]
        if created.created:
            await _ended(use, run_id, messages, min(wait, MOST_WAIT))
    if not created.created:  # the same key again: wait for the run that it made
        async with use.platform.bus.subscribe(f"run.{created.run_id}") as messages:
            await _ended(use, created.run_id, messages, min(wait, MOST_WAIT))
    return _started(await use.view.summary(use.project, created.run_id))


_OPEN = frozenset({"queued", "running", "waiting"})


async def _first_view(use: Context, created: CreatedRun) -> dict[str, Any]:
    """A run that was made just now as it was written; one that was there as it stands."""
    if created.record is not None:
        return await use.view.of(created.record)
    return await use.view.summary(use.project, created.run_id)


def _started(view: dict[str, Any]) -> Response:
    return _json(view, 202 if view["status"] in _OPEN else 200, Location=f"/api/v1/runs/{view['run']}")


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


@runs.route("GET", "/runs", "runs:read", answer=answers.RunPage)
async def list_runs(
    use: Use,
    flow: str | None = None,
    version: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,
    status: Annotated[list[str] | None, Query()] = None,
    batch: str | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Response:
    """Newest first. `next` is the cursor of the following page, absent on the last."""
    wanted = RunFilter(flow, version, _statuses(status), id_of(batch, "batch") if batch else None)
    before = id_of(cursor, "cursor") if cursor else None
    found = await use.platform.runs.page(use.project, wanted, limit, before)
    following = str(found[-1].run_id) if len(found) == limit else None
    return _json({"items": [listed(record) for record in found], "next": following})


def _statuses(names: list[str] | None) -> tuple[RunStatus, ...]:
    known = {status.name.lower(): status for status in RunStatus}
    for name in names or ():
        if name not in known:
            raise InvalidInput(f"{name!r} is no status.", where="status", advice=f"One of {', '.join(known)}.")
    return tuple(known[name] for name in names or ())


@runs.route("GET", "/runs/{run}", "runs:read", answer=answers.Run | answers.RunFull, own=True)
async def get_run(run: Run, use: Use, view: Literal["summary", "full"] = "summary") -> Response:
    """One run. `?view=full` adds its steps, where the time went and what it cost.

    Without the scope a key sees the runs that it started itself, by their whole id, and may follow and cancel them;
    what their steps gave it does not see.
    """
    if view == "full":
        if use.caller is not None:
            refuse_without(use.caller, "runs:read")
        return _json(await use.view.full(use.project, run))
    return _json(await use.view.summary(use.project, run))


_EVENTS: Final = Answer(answers.EventPage, (200,), answers.StreamEvent)


@runs.route("GET", "/runs/{run}/events", "runs:read", answer=_EVENTS, own=True)
async def run_events(
    run: Run,
    use: Use,
    after: Annotated[int, Query(ge=0, le=_MOST_EVENTS)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    last: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """The journal as JSON; with `Accept: text/event-stream` as it grows, from `Last-Event-ID` on."""
    start = min(int(last), _MOST_EVENTS) if last is not None and _NUMBER.fullmatch(last) else after
    if "text/event-stream" not in accept:
        items = await read_events(use, run, start, limit)
        return _json({"items": items, "next": str(items[-1]["seq"]) if len(items) == limit else None})
    await use.platform.runs.get(use.project, run)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(follow_events(use, run, start), media_type="text/event-stream", headers=headers)


@runs.route("GET", "/runs/{run}/steps/{step}/explain", "runs:read", answer=answers.Explanation)
async def explain_step(run: Run, step: str, use: Use) -> Response:
    """Why a step was skipped, failed or cancelled, or what it waits for."""
    return _json({"step": step, "because": await use.view.explain(use.project, run, step)})


@runs.route("POST", "/runs/{run}/cancel", "runs:write", answer=answers.Run, own=True)
async def cancel_run(run: Run, use: Use, reason: str = "cancelled by request") -> Response:
    """Stops a run. One that has ended stays as it is."""
    return _json(await use.view.of(await use.steer.cancel(use.project, run, reason)))


@runs.route("POST", "/runs/{run}/signals/{name}", "runs:write", answer=answers.SignalLeft, status_code=202, body={})
async def signal_run(run: Run, name: str, request: Request, use: Use, key: Key = None) -> Response:
    """Leaves a signal; it may come before its wait."""
    raw = await request.body()
    payload = decoded(raw, msgspec.json.decode, "JSON") if raw else None
    fresh = await use.steer.signal(use.project, run, name, payload, key)
    return _json({"run": str(run), "signal": name, "new": fresh}, 202)


@runs.route("POST", "/runs/{run}/redrive", "runs:write", answer=answers.Run)
async def redrive_run(run: Run, use: Use) -> Response:
    """Gives a dead run to the workers again."""
    return _json(await use.view.of(await use.steer.redrive(use.project, run, "api")))


@runs.route("POST", "/runs/{run}/fork", "runs:write", answer=answers.ForkPlan, also=200, status_code=201)
async def fork_run(run: Run, body: ForkBody, use: Use, key: Key = None) -> Response:
    """A new run that keeps what was before a step and runs again from there. `preview` only says what would."""
    keepable(body.model_dump(), "The body")
    digest = _ENCODER.encode([str(run), body.model_dump()]).decode() if key else None
    request = ForkRequest(run, body.from_step, body.inputs, body.version, key, digest, use.key_id)
    forked = await (use.forks.preview if body.preview else use.forks.run)(use.project, request)
    plan = forked.plan
    expected = {"seconds": plan.expected_seconds, "usage": msgspec.to_builtins(plan.expected_usage)}
    made = str(forked.created.run_id) if forked.created is not None else None
    return _json({"run": made, "rerun": plan.rerun, "kept": plan.kept, "expected": expected}, 201 if made else 200)


@runs.route("POST", "/runs/{run}/replay", "runs:read", answer=answers.ReplayReport)
async def replay_run(run: Run, use: Use) -> Response:
    """Runs it again from its tape, without any call outside, and compares byte by byte."""
    report = await use.replays.run(use.project, run)
    return _json(
        {
            "equal": report.equal,
            "from_tape": report.steps,
            "computed": report.computed,
            "differences": report.differences,
            "output": report.output,
        }
    )

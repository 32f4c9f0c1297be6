"""Routes of schedules."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Query, Response

from interplay.bootstrap import new_id
from interplay.contracts.http import answers
from interplay.contracts.http.schedules_v1 import PreviewBody, ScheduleBody
from interplay.core.schedules.schedule import Schedule
from interplay.ports.schedule_store import NewSchedule, ScheduleRecord
from interplay.services.api.bodies import keepable
from interplay.services.api.context import Context, ScopedRouter, context_of
from interplay.services.api.pages import Cursor, Limit, cursor_of, place_of, revision_of

schedules = ScopedRouter("schedules")
Use = Annotated[Context, Depends(context_of)]
Once = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
Match = Annotated[str | None, Header(alias="If-Match", max_length=100)]


def shown(record: ScheduleRecord) -> dict[str, Any]:
    schedule = record.schedule
    return {
        "schedule": str(record.schedule_id),
        "name": record.name,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "flow": schedule.flow,
        "channel": schedule.channel,
        "version": schedule.version,
        "inputs": schedule.inputs,
        "overlap": schedule.overlap,
        "catch_up": schedule.catch_up,
        "most": schedule.most,
        "paused": record.paused,
        "next_at": None if record.paused or record.next_at == float("inf") else record.next_at,
        "waiting_for": record.waiting_for,
        "key": str(record.key_id) if record.key_id is not None else None,
        "created_at": record.created_at,
        "changed_at": record.changed_at,
    }


def _seen(record: ScheduleRecord, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{record.revision}"'
    return shown(record)


@schedules.route("GET", "/schedules", "runs:read", answer=answers.SchedulePage)
async def list_schedules(use: Use, limit: Limit = 100, cursor: str | None = None) -> dict[str, Any]:
    """By name."""
    found = await use.platform.schedules.page(use.project, limit, cursor)
    return {"items": [shown(record) for record in found], "next": found[-1].name if len(found) == limit else None}


@schedules.route("POST", "/schedules/preview", "runs:read", answer=answers.SchedulePreview)
async def preview_times(body: PreviewBody, use: Use) -> dict[str, Any]:
    """When a schedule with these times would fire next. Nothing is kept."""
    keepable(body.model_dump(), "The body")
    return _ahead(await use.schedules.preview(Schedule(body.cron, "", body.zone), body.count, body.after))


@schedules.route("GET", "/schedules/{name}", "runs:read", answer=answers.Schedule)
async def get_schedule(name: str, use: Use, response: Response) -> dict[str, Any]:
    return _seen(await use.platform.schedules.get(use.project, name), response)


@schedules.route("PUT", "/schedules/{name}", "runs:write", answer=answers.SchedulePut, also=201)
async def put_schedule(
    name: str, body: ScheduleBody, use: Use, response: Response, match: Match = None
) -> dict[str, Any]:
    """Makes or changes it; the same again changes nothing. With `If-Match` only if it is as the caller saw it."""
    keepable(body.model_dump(), "The body")
    written = msgspec.convert(body.model_dump(exclude={"paused"}), Schedule)
    wanted = NewSchedule(new_id(), use.project, name, written, use.key_id, body.paused)
    record, created = await use.schedules.put(wanted, revision_of(match, "schedule"))
    response.status_code = 201 if created else 200
    return {**_seen(record, response), "created": created}


@schedules.route("DELETE", "/schedules/{name}", "runs:write", status_code=204)
async def delete_schedule(name: str, use: Use) -> Response:
    """With what is known of its fires. The runs that they started stay, and go on."""
    await use.schedules.delete(use.project, name)
    return Response(status_code=204)


@schedules.route("POST", "/schedules/{name}/pause", "runs:write", answer=answers.Schedule)
async def pause_schedule(name: str, use: Use, response: Response) -> dict[str, Any]:
    """It fires no more until it is resumed. Runs under way go on."""
    return _seen(await use.schedules.pause(use.project, name, True), response)


@schedules.route("POST", "/schedules/{name}/resume", "runs:write", answer=answers.Schedule)
async def resume_schedule(name: str, use: Use, response: Response) -> dict[str, Any]:
    """It fires again from now on. What would have been meanwhile is not made up for."""
    return _seen(await use.schedules.pause(use.project, name, False), response)


@schedules.route("POST", "/schedules/{name}/fire", "runs:write", answer=answers.ScheduleFired, status_code=202)
async def fire_schedule(name: str, use: Use, once: Once = None) -> dict[str, Any]:
    """Starts a run now, beside its times, whatever `overlap` and `paused` say."""
    made = await use.schedules.fire_now(use.project, name, once)
    return {"schedule": name, "run": str(made.run_id), "new": made.created}


@schedules.route("GET", "/schedules/{name}/preview", "runs:read", answer=answers.SchedulePreview)
async def preview_schedule(name: str, use: Use, count: Annotated[int, Query(ge=1, le=1000)] = 10) -> dict[str, Any]:
    """The moments of its next fires, also of one that is paused."""
    record = await use.platform.schedules.get(use.project, name)
    return _ahead(await use.schedules.preview(record.schedule, count))


def _ahead(moments: list[tuple[float, str]]) -> dict[str, Any]:
    return {"items": [{"at": at, "local": local} for at, local in moments], "next": None}


@schedules.route("GET", "/schedules/{name}/fires", "runs:read", answer=answers.ScheduleFirePage)
async def list_fires(name: str, use: Use, limit: Limit = 50, cursor: Cursor = None) -> dict[str, Any]:
    """What came of its fires, the latest first."""
    before = place_of(cursor, float) if cursor else None
    found = await use.platform.schedules.fires(use.project, name, limit, before)
    items = [
        {
            "scheduled_for": fire.scheduled_for,
            "at": fire.at,
            "outcome": fire.outcome,
            "run": str(fire.run_id) if fire.run_id is not None else None,
            "manual": fire.manual,
            "detail": fire.detail,
        }
        for fire in found
    ]
    return {"items": items, "next": cursor_of(found[-1].scheduled_for) if len(found) == limit else None}

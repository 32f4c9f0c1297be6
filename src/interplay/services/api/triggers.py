"""Routes of triggers."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Response

from interplay.bootstrap import new_id
from interplay.contracts.http import answers
from interplay.contracts.http.triggers_v1 import TriggerBody, TriggerReplayBody, TriggerRotateBody
from interplay.core.triggers.trigger import trigger_of
from interplay.ports.topic_reader import StartAt
from interplay.ports.trigger_store import KeptTrigger, NewTrigger
from interplay.services.api.bodies import keepable
from interplay.services.api.context import Context, ScopedRouter, context_of
from interplay.services.api.pages import Limit, revision_of

triggers = ScopedRouter("triggers")
Use = Annotated[Context, Depends(context_of)]
Match = Annotated[str | None, Header(alias="If-Match", max_length=100)]


def shown(kept: KeptTrigger) -> dict[str, Any]:
    trigger = kept.trigger
    written = {name: getattr(trigger, name) for name in trigger.__struct_fields__}
    hook = trigger.webhook
    written["topic"] = None if hook is not None else trigger.topic
    written["webhook"] = {"scheme": hook.scheme, "secret": hook.secret} if hook is not None else None
    return {
        "trigger": str(kept.trigger_id),
        "name": kept.name,
        **written,
        "address": f"/hooks/{kept.project_id}/{kept.name}" if hook is not None else None,
        "paused": kept.paused,
        "tally": msgspec.to_builtins(kept.tally),
        "problem": kept.problem,
        "problem_at": kept.problem_at,
        "group": kept.group,
        "key": str(kept.key_id) if kept.key_id is not None else None,
        "created_at": kept.created_at,
    }


def _seen(kept: KeptTrigger, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{kept.revision}"'
    return shown(kept)


@triggers.route("GET", "/triggers", "runs:read", answer=answers.TriggerPage)
async def list_triggers(use: Use, limit: Limit = 100, cursor: str | None = None) -> dict[str, Any]:
    """By name."""
    found = await use.platform.trigger_store.page(use.project, limit, cursor)
    return {"items": [shown(kept) for kept in found], "next": found[-1].name if len(found) == limit else None}


@triggers.route("GET", "/triggers/{name}", "runs:read", answer=answers.Trigger)
async def get_trigger(name: str, use: Use, response: Response) -> dict[str, Any]:
    return _seen(await use.platform.trigger_store.get(use.project, name), response)


@triggers.route("PUT", "/triggers/{name}", "runs:write", answer=answers.TriggerPut, also=201)
async def put_trigger(
    name: str, body: TriggerBody, use: Use, response: Response, match: Match = None
) -> dict[str, Any]:
    """Makes or changes it; the same again changes nothing. One that is called is answered with its secret when it is
    made, once. With `If-Match` only if it is as the caller saw it."""
    keepable(body.model_dump(), "The body")
    left_out = {"paused"} | ({"topic"} if body.topic is None else set())
    written = trigger_of(body.model_dump(exclude=left_out))
    wanted = NewTrigger(new_id(), use.project, name, written, use.key_id, body.paused)
    kept, created = await use.triggers.put(wanted, revision_of(match, "trigger"))
    response.status_code = 201 if created else 200
    secret = use.triggers.secret_of(kept) if created else None
    return {**_seen(kept, response), "created": created, "secret": secret}


@triggers.route("POST", "/triggers/{name}/rotate", "runs:write", answer=answers.TriggerRotated)
async def rotate_trigger(name: str, body: TriggerRotateBody, use: Use, response: Response) -> dict[str, Any]:
    """A new secret for those who call it, shown once. For a while the old one is believed, too."""
    now = use.platform.clock.now()
    kept, secret = await use.triggers.rotate(use.project, name, body.overlap, now)
    return {**_seen(kept, response), "secret": secret}


@triggers.route("DELETE", "/triggers/{name}", "runs:write", status_code=204)
async def delete_trigger(name: str, use: Use) -> Response:
    """The runs that it started stay, and go on."""
    await use.triggers.delete(use.project, name)
    return Response(status_code=204)


@triggers.route("POST", "/triggers/{name}/pause", "runs:write", answer=answers.Trigger)
async def pause_trigger(name: str, use: Use, response: Response) -> dict[str, Any]:
    """It reads no more until it is resumed. Runs under way go on."""
    return _seen(await use.triggers.pause(use.project, name, True), response)


@triggers.route("POST", "/triggers/{name}/resume", "runs:write", answer=answers.Trigger)
async def resume_trigger(name: str, use: Use, response: Response) -> dict[str, Any]:
    """It reads on where it was."""
    return _seen(await use.triggers.pause(use.project, name, False), response)


@triggers.route("POST", "/triggers/{name}/replay", "runs:write", answer=answers.Trigger, status_code=202)
async def replay_trigger(name: str, body: TriggerReplayBody, use: Use, response: Response) -> dict[str, Any]:
    """It reads the topic anew from there, in a consumer group of its own, and starts runs anew."""
    start = StartAt("earliest", body.time, body.offset)
    return _seen(await use.triggers.replay(use.project, name, start), response)


@triggers.route("GET", "/triggers/{name}/lag", "runs:read", answer=answers.TriggerLag)
async def lag_of_trigger(name: str, use: Use) -> dict[str, Any]:
    """How far it is behind its topic, as the broker says."""
    found = await use.triggers.lag(use.project, name)
    known = [lag for lag in found.values() if lag is not None]
    partitions = [{"partition": partition, "lag": lag} for partition, lag in sorted(found.items())]
    return {"trigger": name, "lag": sum(known) if len(known) == len(found) else None, "partitions": partitions}

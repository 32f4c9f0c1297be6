"""Routes of flows: check, keep, versions, channels."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Query, Response

from interplay.contracts.http import answers
from interplay.contracts.http.v1 import ChannelBody, FlowBody, FlowCheckBody
from interplay.core.flows.canonical import from_bytes
from interplay.ports.flow_store import FlowVersion
from interplay.services.api.bodies import keepable
from interplay.services.api.context import Context, ScopedRouter, context_of
from interplay.services.api.problems import shown
from interplay.use_cases.save_flow import Coming, FlowSource

flows = ScopedRouter("flows")
Use = Annotated[Context, Depends(context_of)]


def _source(body: FlowBody) -> FlowSource:
    keepable(body.model_dump(), "The body")
    return FlowSource(body.source, body.file, body.files)


@flows.route("POST", "/flows/check", "flows:read", answer=answers.CheckResult)
async def check_flow(body: FlowCheckBody, use: Use) -> dict[str, Any]:
    """All problems of a flow at once, each with its place; nothing is kept."""
    checked = await use.save.check(use.project, _source(body), Coming(body.models, body.flows))
    return {
        "ok": not checked.problems,
        "version": checked.version,
        "problems": [shown(problem) for problem in checked.problems],
    }


@flows.route("GET", "/flows", "flows:read", answer=answers.FlowPage)
async def list_flows(
    use: Use, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: str | None = None
) -> dict[str, Any]:
    found = await use.platform.flows.page(use.project, limit, cursor)
    items = [msgspec.to_builtins(summary) for summary in found]
    return {"items": items, "next": found[-1].name if len(found) == limit else None}


@flows.route("PUT", "/flows/{name}", "flows:write", answer=answers.FlowSaved, also=201)
async def put_flow(name: str, body: FlowBody, use: Use, response: Response) -> dict[str, Any]:
    """Keeps a version. The same content again is the same version and changes nothing."""
    saved = await use.save.save(use.project, _source(body), name)
    response.status_code = 201 if saved.created else 200
    return {"flow": saved.name, "version": saved.version, "created": saved.created}


@flows.route("GET", "/flows/{name}", "flows:read", answer=answers.Flow)
async def get_flow(name: str, use: Use, version: str | None = None, channel: str | None = None) -> dict[str, Any]:
    wanted = version or await use.platform.flows.resolve(use.project, name, channel)
    found = await use.platform.flows.get(use.project, wanted, name)
    return {**_version(found), "source": found.source, "ir": msgspec.to_builtins(from_bytes(found.ir))}


@flows.route("GET", "/flows/{name}/versions", "flows:read", answer=answers.FlowVersionPage)
async def list_versions(
    name: str, use: Use, limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: float | None = None
) -> dict[str, Any]:
    found = await use.platform.flows.versions(use.project, name, limit, cursor)
    following = str(found[-1].created_at) if len(found) == limit else None
    return {"items": [_version(version) for version in found], "next": following}


@flows.route("GET", "/flows/{name}/channels", "flows:read", answer=dict[str, str])
async def list_channels(name: str, use: Use) -> dict[str, str]:
    return await use.platform.flows.channels(use.project, name)


@flows.route("GET", "/flows/{name}/channels/{channel}", "flows:read", answer=answers.Channel)
async def get_channel(name: str, channel: str, use: Use, response: Response) -> dict[str, Any]:
    version = await use.platform.flows.resolve(use.project, name, channel)
    response.headers["ETag"] = f'"{version}"'
    return {"flow": name, "channel": channel, "version": version}


@flows.route("PUT", "/flows/{name}/channels/{channel}", "flows:write", answer=answers.ChannelMoved)
async def put_channel(
    name: str,
    channel: str,
    body: ChannelBody,
    use: Use,
    response: Response,
    match: Annotated[str | None, Header(alias="If-Match")] = None,
) -> dict[str, Any]:
    """Points a channel at a version; with `If-Match` only if it still points where the caller saw it."""
    expected = match.strip('"') if match is not None else None
    before = await use.platform.flows.set_channel(use.project, name, channel, body.version, expected)
    version = await use.platform.flows.resolve(use.project, name, channel)
    response.headers["ETag"] = f'"{version}"'
    return {"flow": name, "channel": channel, "version": version, "before": before}


def _version(found: FlowVersion) -> dict[str, Any]:
    return {"flow": found.name, "version": found.version, "created_at": found.created_at}

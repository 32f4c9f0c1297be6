"""Routes of usage and prices."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Query

from interplay.contracts.http import answers
from interplay.contracts.http.tenancy_v1 import PriceBody
from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Price
from interplay.ports.usage_store import GroupBy, UsageQuery
from interplay.services.api.context import Context, ScopedRouter, context_of, id_of, refuse_without

usage = ScopedRouter("usage")
Use = Annotated[Context, Depends(context_of)]
Day = Annotated[datetime.date | None, Query(ge=datetime.date(1970, 1, 1), le=datetime.date(9000, 1, 1))]
Text = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


@usage.route("GET", "/usage", "usage:read", answer=answers.UsagePage)
async def get_usage(
    use: Use,
    by: Annotated[list[GroupBy] | None, Query(max_length=6)] = None,
    since: Day = None,
    until: Day = None,
    key: str | None = None,
    model: Text = None,
    flow: Text = None,
    everywhere: bool = False,
) -> dict[str, Any]:
    """Sums by `project`, `key`, `model`, `deployment`, `flow` and `day` (UTC), any of them; days are included.

    `usd` adds up what has a known price, and is null where nothing has; `unpriced` says how many calls are not in it,
    `estimated` of how many the upstream did not say what they used. `everywhere`: of all projects,
    for whoever sees them.
    """
    if everywhere and use.caller is not None:
        refuse_without(use.caller, "projects:read")
    query = UsageQuery(
        None if everywhere else use.project,
        tuple(dict.fromkeys(by or ())),
        since,
        until,
        id_of(key, "key") if key else None,
        model,
        flow,
    )
    found = await use.platform.tenancy.usage.sums(query)
    return {"items": [_shown(entry) for entry in found], "next": None}


def _shown(entry: Any) -> dict[str, Any]:
    counts = entry.usage
    return {
        **entry.group,
        "calls": entry.calls,
        "failed": entry.failed,
        "cache_hits": entry.cache_hits,
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens,
        "cached_tokens": counts.cached_tokens,
        "reasoning_tokens": counts.reasoning_tokens,
        "image_tokens": counts.image_tokens,
        "audio_tokens": counts.audio_tokens,
        "usd": counts.usd if entry.unpriced < entry.calls or not entry.calls else None,
        "unpriced": entry.unpriced,
        "estimated": entry.estimated,
        "seconds": entry.seconds,
    }


@usage.route("GET", "/usage/records", "usage:read", answer=answers.UsageRecordPage)
async def list_usage_records(
    use: Use, limit: Annotated[int, Query(ge=1, le=500)] = 100, cursor: str | None = None
) -> dict[str, Any]:
    """The newest calls of the project, each with what it used. `usd` is null where no price is known."""
    before = id_of(cursor, "cursor") if cursor else None
    found = await use.platform.tenancy.usage.latest(use.project, limit, before)
    items = []
    for record in found:
        shown = {name: getattr(record, name) for name in record.__struct_fields__}
        items.append(msgspec.to_builtins({**shown, "usage": {**_all(record.usage), "usd": record.usage.usd}}))
    return {"items": items, "next": str(found[-1].record_id) if len(found) == limit else None}


def _all(counts: Any) -> dict[str, Any]:
    return {name: getattr(counts, name) for name in counts.__struct_fields__}


@usage.route("GET", "/prices", "models:read", answer=answers.PricePage)
async def list_prices(use: Use) -> dict[str, Any]:
    """The project's price book, by target and time."""
    found = await use.platform.tenancy.prices.prices(use.project)
    items = [
        {"target": point.target, "valid_from": point.valid_from, **msgspec.to_builtins(point.price)} for point in found
    ]
    return {"items": items, "next": None}


@usage.route("PUT", "/prices", "models:write", answer=answers.PriceChanged)
async def put_price(body: PriceBody, use: Use) -> dict[str, Any]:
    """A price from a moment on. What was used since then is priced anew: `derived` says how many records."""
    fields = body.model_dump(exclude={"target", "valid_from"})
    valid_from = use.platform.clock.now() if body.valid_from is None else body.valid_from
    point = PricePoint(use.project, body.target, valid_from, Price(**fields))
    derived = await use.platform.tenancy.set_price.put(point)
    await use.platform.tenancy.snapshots.refresh()
    return {"target": body.target, "valid_from": valid_from, "derived": derived}


@usage.route("DELETE", "/prices", "models:write", answer=answers.PriceChanged)
async def delete_price(
    use: Use,
    target: Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$")],
    valid_from: Annotated[float, Query(ge=0, le=4e9)],
) -> Any:
    """Takes a price out of the book. What was used since then is priced anew by what is left of it."""
    derived = await use.platform.tenancy.set_price.delete(use.project, target, valid_from)
    await use.platform.tenancy.snapshots.refresh()
    return {"target": target, "valid_from": valid_from, "derived": derived}

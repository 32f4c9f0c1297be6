"""Routes of keys. A secret is in the answer that makes it, and nowhere else."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Query, Response

from interplay.contracts.http import answers
from interplay.contracts.http.tenancy_v1 import KeyChangeBody, NewKeyBody, RotateBody
from interplay.core.ids import derived_uuid
from interplay.core.tenancy.keys import Key, live
from interplay.services.api.context import Context, ScopedRouter, context_of, id_of
from interplay.use_cases.manage_keys import KeyChange, NewKey

keys = ScopedRouter("keys")
Use = Annotated[Context, Depends(context_of)]
Once = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]


def shown(key: Key, now: float) -> dict[str, Any]:
    """A key as it may be seen: never its secret, nor its digest."""
    state = "revoked" if key.revoked_at is not None and key.revoked_at <= now else "valid" if live(key, now) else "over"
    return {
        "key": str(key.key_id),
        "project": key.project_id,
        "name": key.name,
        "hint": f"{key.hint}…",
        "state": state,
        "scopes": sorted(key.scopes),
        "models": key.models,
        "flows": key.flows,
        "limits": msgspec.to_builtins(key.limits),
        "budgets": [{"usd": budget.usd, "period": budget.period} for budget in key.budgets],
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "former_until": key.former_until,
        "metadata": key.metadata,
    }


@keys.route("GET", "/keys", "keys:read", answer=answers.KeyPage)
async def list_keys(
    use: Use, limit: Annotated[int, Query(ge=1, le=500)] = 100, cursor: str | None = None
) -> dict[str, Any]:
    """The project's keys, oldest first."""
    after = id_of(cursor, "cursor") if cursor else None
    found = await use.platform.tenancy.keys.page(use.project, limit, after)
    now = use.platform.clock.now()
    following = str(found[-1].key_id) if len(found) == limit else None
    return {"items": [shown(key, now) for key in found], "next": following}


@keys.route("POST", "/keys", "keys:write", answer=answers.KeyWithSecret, status_code=201)
async def create_key(body: NewKeyBody, use: Use, once: Once = None) -> dict[str, Any]:
    """A new key. `secret` is shown in this answer only; the same `Idempotency-Key` again is a conflict, and so is
    the name of another key of the project."""
    wanted = msgspec.convert(body.model_dump(exclude_none=True), NewKey)
    key_id = derived_uuid("key", str(use.project), once) if once is not None else None
    key, secret = await use.keys.create(use.project, wanted, _by(use), key_id)
    return await _live(use, {**shown(key, use.platform.clock.now()), "secret": secret})


@keys.route("GET", "/keys/{key}", "keys:read", answer=answers.Key)
async def get_key(key: str, use: Use) -> dict[str, Any]:
    found = await use.platform.tenancy.keys.key(use.project, id_of(key, "key"))
    return shown(found, use.platform.clock.now())


@keys.route("PATCH", "/keys/{key}", "keys:write", answer=answers.Key)
async def change_key(key: str, body: KeyChangeBody, use: Use) -> dict[str, Any]:
    """Changes what is named. `null` for `models`, `flows` or `expires_in` lifts that restriction."""
    given = body.model_dump(exclude_unset=True)
    lifted = ("models", "flows", "expires_in")
    fields = {name: value for name, value in given.items() if value is not None or name in lifted}
    change = msgspec.convert(fields, KeyChange)
    changed = await use.keys.change(use.project, id_of(key, "key"), change, _by(use))
    return await _live(use, shown(changed, use.platform.clock.now()))


@keys.route("POST", "/keys/{key}/rotate", "keys:write", answer=answers.KeyWithSecret)
async def rotate_key(key: str, body: RotateBody, use: Use) -> dict[str, Any]:
    """A new secret, shown in this answer only. The old one is valid for `overlap` seconds more."""
    rotated, secret = await use.keys.rotate(use.project, id_of(key, "key"), body.overlap, _by(use))
    return await _live(use, {**shown(rotated, use.platform.clock.now()), "secret": secret})


@keys.route("POST", "/keys/{key}/revoke", "keys:write", answer=answers.Key)
async def revoke_key(key: str, use: Use) -> dict[str, Any]:
    """It is no longer valid, everywhere in under a second; it stays in the list."""
    revoked = await use.keys.revoke(use.project, id_of(key, "key"))
    return await _live(use, shown(revoked, use.platform.clock.now()))


@keys.route("DELETE", "/keys/{key}", "keys:write", status_code=204)
async def delete_key(key: str, use: Use) -> Response:
    """It is no longer valid and no longer listed. What it used stays in the usage."""
    await use.keys.delete(use.project, id_of(key, "key"))
    await use.platform.tenancy.snapshots.refresh()
    return Response(status_code=204)


def _by(use: Context) -> Key | None:
    return use.caller.key if use.caller is not None else None


async def _live(use: Context, body: dict[str, Any]) -> dict[str, Any]:
    """In force on this server when the caller hears of it; elsewhere in under a second."""
    await use.platform.tenancy.snapshots.refresh()
    return body

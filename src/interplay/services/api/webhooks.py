"""Routes of webhooks. They send what runs gave to somebody else: who keeps one needs to see runs, too."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Depends, Header, Response

from interplay.contracts.http import answers
from interplay.contracts.http.webhooks_v1 import WebhookBody, WebhookReplayBody, WebhookRotateBody
from interplay.core.errors import InvalidInput
from interplay.core.webhooks.trying import reason
from interplay.core.webhooks.webhook import webhook_of
from interplay.ports.webhook_store import DeliveryRecord, KeptWebhook, WhichDeliveries
from interplay.services.api.bodies import keepable
from interplay.services.api.context import Context, ScopedRouter, context_of, refuse_without
from interplay.services.api.pages import Cursor, Limit, cursor_of, place_of, revision_of
from interplay.use_cases.deliver_webhooks import message_id
from interplay.use_cases.manage_webhooks import WebhookRequest

webhooks = ScopedRouter("webhooks")
Match = Annotated[str | None, Header(alias="If-Match", max_length=100)]


async def _seeing(use: Annotated[Context, Depends(context_of)]) -> Context:
    if use.caller is not None:
        refuse_without(use.caller, "runs:read")
    return use


Use = Annotated[Context, Depends(context_of)]
Seeing = Annotated[Context, Depends(_seeing)]


def shown(kept: KeptWebhook) -> dict[str, Any]:
    webhook = kept.webhook
    return {
        "webhook": str(kept.webhook_id),
        "name": kept.name,
        "url": webhook.url,
        "events": list(webhook.events),
        "flows": list(webhook.flows) if webhook.flows is not None else None,
        "timeout": webhook.timeout,
        "paused": kept.paused,
        "disabled": kept.disabled,
        "problem": kept.problem,
        "failures": kept.failures,
        "rests_until": kept.rests_until,
        "delivered": kept.delivered,
        "dead": kept.dead,
        "former_until": kept.secret.former_until,
        "key": str(kept.key_id) if kept.key_id is not None else None,
        "created_at": kept.created_at,
    }


def _seen(kept: KeptWebhook, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{kept.revision}"'
    return shown(kept)


@webhooks.route("GET", "/webhooks", "runs:read", answer=answers.WebhookPage)
async def list_webhooks(use: Use, limit: Limit = 100, cursor: str | None = None) -> dict[str, Any]:
    """By name."""
    found = await use.platform.webhooks.store.page(use.project, limit, cursor)
    return {"items": [shown(kept) for kept in found], "next": found[-1].name if len(found) == limit else None}


@webhooks.route("GET", "/webhooks/{name}", "runs:read", answer=answers.Webhook)
async def get_webhook(name: str, use: Use, response: Response) -> dict[str, Any]:
    return _seen(await use.platform.webhooks.store.get(use.project, name), response)


@webhooks.route("PUT", "/webhooks/{name}", "runs:write", answer=answers.WebhookPut, also=201)
async def put_webhook(
    name: str, body: WebhookBody, use: Seeing, response: Response, match: Match = None
) -> dict[str, Any]:
    """Makes or changes it; the same again changes nothing. One that was made is answered with its secret, once. With
    `If-Match` only if it is as the caller saw it."""
    keepable(body.model_dump(), "The body")
    left_out = {"paused"} | ({"events"} if body.events is None else set())
    wanted = WebhookRequest(name, webhook_of(body.model_dump(exclude=left_out)), use.key_id, body.paused)
    kept, secret = await use.webhooks.put(use.project, wanted, revision_of(match, "webhook"))
    response.status_code = 201 if secret is not None else 200
    return {**_seen(kept, response), "created": secret is not None, "secret": secret}


@webhooks.route("DELETE", "/webhooks/{name}", "runs:write", status_code=204)
async def delete_webhook(name: str, use: Use) -> Response:
    """With its deliveries, those that wait, too."""
    await use.webhooks.delete(use.project, name)
    return Response(status_code=204)


@webhooks.route("POST", "/webhooks/{name}/pause", "runs:write", answer=answers.Webhook)
async def pause_webhook(name: str, use: Use, response: Response) -> dict[str, Any]:
    """What is to be delivered waits until it is resumed, three days at most."""
    return _seen(await use.webhooks.pause(use.project, name, True), response)


@webhooks.route("POST", "/webhooks/{name}/resume", "runs:write", answer=answers.Webhook)
async def resume_webhook(name: str, use: Seeing, response: Response) -> dict[str, Any]:
    """It is called again at once, even if it was disabled, or rested because it failed."""
    return _seen(await use.webhooks.pause(use.project, name, False), response)


@webhooks.route("POST", "/webhooks/{name}/rotate", "runs:write", answer=answers.WebhookRotated)
async def rotate_webhook(name: str, body: WebhookRotateBody, use: Seeing, response: Response) -> dict[str, Any]:
    """A new secret, shown once. For a while messages carry a signature of the old one, too."""
    now = use.platform.clock.now()
    kept, secret = await use.webhooks.rotate(use.project, name, body.overlap, now)
    return {**_seen(kept, response), "secret": secret}


@webhooks.route("POST", "/webhooks/{name}/test", "runs:write", answer=answers.WebhookTrial)
async def test_webhook(name: str, use: Seeing) -> dict[str, Any]:
    """Sends one message of the type `webhook.test` now, and says what came of it. Nothing of it is kept."""
    told, heard = await use.webhooks.trial(use.project, name, use.platform.clock)
    ok = heard.status is not None and 200 <= heard.status < 300
    detail = None if ok else reason(heard)
    return {
        "webhook": name,
        "delivery": told,
        "ok": ok,
        "status": heard.status,
        "detail": detail,
        "seconds": heard.seconds,
    }


@webhooks.route("GET", "/webhooks/{name}/deliveries", "runs:read", answer=answers.DeliveryPage)
async def list_deliveries(
    name: str,
    use: Use,
    state: Literal["waits", "delivered", "dead"] | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """The newest first; those that are dead letters say why."""
    after = place_of(cursor, tuple[float, UUID]) if cursor else None
    which = WhichDeliveries(state=state)
    found = await use.platform.webhooks.store.deliveries(use.project, name, which, limit, after)
    items = [_delivery(record) for record in found]
    return {"items": items, "next": cursor_of(found[-1].place) if len(found) == limit else None}


def _delivery(record: DeliveryRecord) -> dict[str, Any]:
    return {
        "delivery": message_id(record.delivery_id),
        "run": str(record.run_id),
        "seq": record.seq,
        "event": record.event,
        "state": record.state,
        "attempts": record.attempts,
        "created_at": record.created_at,
        "due_at": record.due_at if record.state == "waits" else None,
        "settled_at": record.settled_at,
        "status": record.status,
        "detail": record.detail,
    }


@webhooks.route("POST", "/webhooks/{name}/replay", "runs:write", answer=answers.DeliveriesReplayed, status_code=202)
async def replay_deliveries(name: str, body: WebhookReplayBody, use: Seeing) -> dict[str, Any]:
    """They are sent again, with the same ids and as they were. What waits already is left as it is."""
    delivery = _id_of(body.delivery) if body.delivery is not None else None
    which = WhichDeliveries(delivery, "dead" if body.dead else None, body.since, body.until)
    return {"webhook": name, "replayed": await use.webhooks.replay(use.project, name, which)}


def _id_of(text: str) -> UUID:
    try:
        return UUID(text.removeprefix("msg_"))
    except ValueError:
        advice = "It is what `webhook-id` said: msg_ and 32 digits."
        raise InvalidInput(f"{text[:100]!r} is no id of a delivery.", where="delivery", advice=advice) from None

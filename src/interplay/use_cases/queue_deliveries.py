"""Makes deliveries of what the event log tells: one for each webhook that wants the event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from interplay.core.errors import NotFound
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import decode_value
from interplay.core.runs.log import LoggedEvent
from interplay.core.webhooks.body import Outcome, body_of, ends
from interplay.ports.event_bus import EventBus
from interplay.ports.run_store import RunStore
from interplay.ports.webhook_store import KeptWebhook, NewDelivery, WebhookStore
from interplay.use_cases.recover_run import blob_of

DUE: Final = "webhook.due"
_AT_ONCE: Final = 8  # runs that are looked at
_BEFORE: Final = 60.0  # seconds that clocks may differ
_MANY: Final = 50  # deliveries that are made in one turn of the loop


class QueueDeliveries:
    def __init__(self, webhooks: WebhookStore, runs: RunStore, bus: EventBus) -> None:
        self._webhooks = webhooks
        self._runs = runs
        self._bus = bus

    async def take(self, events: Sequence[LoggedEvent]) -> None:
        """Durable when it returns; the same again changes nothing. Raises Unavailable."""
        if not events:
            return
        listening: dict[int, list[KeptWebhook]] = {}
        for webhook in await self._webhooks.listening({event.project_id for event in events}):
            listening.setdefault(webhook.project_id, []).append(webhook)
        wanted = [
            (event, webhooks)
            for event in events
            if (webhooks := [one for one in listening.get(event.project_id, ()) if _wants(one, event)])
        ]
        if not wanted:
            return
        room = asyncio.Semaphore(_AT_ONCE)
        outcomes = await asyncio.gather(*(self._outcome(event, room) for event, _ in wanted))
        deliveries: list[NewDelivery] = []
        for place, ((event, webhooks), outcome) in enumerate(zip(wanted, outcomes, strict=True)):
            if place % _MANY == 0:
                await asyncio.sleep(0)  # others have their turn
            body = body_of(event, outcome)
            deliveries += [_delivery(one, event, body) for one in webhooks]
        if await self._webhooks.queue(deliveries):
            self._bus.publish(DUE, {})

    async def _outcome(self, event: LoggedEvent, room: asyncio.Semaphore) -> Outcome | None:
        """What the run came to, where the event is its end. A run that is forgotten meanwhile says nothing of it."""
        if not ends(event.kind):
            return None
        async with room:
            try:
                record = await self._runs.get(event.project_id, event.run_id)
            except NotFound:
                return Outcome(left_out=("output", "error"))
        error = decode_value(record.error) if record.error else None
        output = decode_value(record.output) if record.output else None
        if blob_of(output) is not None:  # kept apart, because it is large
            return Outcome(None, error, record.labels, ("output",))
        return Outcome(output, error, record.labels)


def _wants(webhook: KeptWebhook, event: LoggedEvent) -> bool:
    """What was long over when it was made is none of its business: a log may be read from its beginning again."""
    return event.at >= webhook.created_at - _BEFORE and webhook.webhook.wants(event)


def _delivery(webhook: KeptWebhook, event: LoggedEvent, body: bytes) -> NewDelivery:
    made = derived_uuid("delivery", str(webhook.webhook_id), event.identity)
    return NewDelivery(made, webhook.webhook_id, event.run_id, event.seq, event.kind.wire_name, body)

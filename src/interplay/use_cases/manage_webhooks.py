"""What people do to webhooks: make, change, rotate their secret, try, look what became of deliveries, send again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from interplay.core.errors import InvalidInput, NotFound
from interplay.core.webhooks.body import trial_body
from interplay.core.webhooks.secrets import MasterKeys
from interplay.core.webhooks.trying import Heard
from interplay.core.webhooks.webhook import Webhook, webhook_name
from interplay.ports.clock import Clock
from interplay.ports.event_bus import EventBus
from interplay.ports.webhook_store import KeptWebhook, NewWebhook, WebhookStore, WhichDeliveries
from interplay.use_cases.deliver_webhooks import TOPIC, SendWebhook, message_id

MOST_OVERLAP: Final = 30 * 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What somebody asks for. `paused` None: as it is."""

    name: str
    webhook: Webhook
    key_id: UUID | None
    paused: bool | None = None


class ManageWebhooks:
    def __init__(
        self, store: WebhookStore, sender: SendWebhook, keys: MasterKeys, bus: EventBus, new_id: Callable[[], UUID]
    ) -> None:
        self._store = store
        self._sender = sender
        self._keys = keys
        self._bus = bus
        self._new_id = new_id

    async def put(
        self, project_id: int, wanted: WebhookRequest, expected: int | None = None
    ) -> tuple[KeptWebhook, str | None]:
        """With its secret, where it was made: it is never to be seen again. Raises InvalidInput, Conflict."""
        webhook_name(wanted.name)
        webhook = wanted.webhook.checked()
        new = NewWebhook(
            self._new_id(), project_id, wanted.name, webhook, self._keys.fresh(), wanted.key_id, wanted.paused
        )
        kept, created = await self._store.put(new, expected)
        self._changed()
        return kept, self._keys.shown(kept.webhook_id, kept.secret) if created else None

    async def rotate(self, project_id: int, name: str, overlap: float, now: float) -> tuple[KeptWebhook, str]:
        """A new secret. For `overlap` seconds messages carry a signature of the old one, too. Raises NotFound,
        Conflict."""
        if not 0 <= overlap <= MOST_OVERLAP:
            raise InvalidInput("The overlap is from 0 seconds to 30 days.", where="overlap")
        kept = await self._store.get(project_id, name)
        secret = self._keys.rotated(kept.secret, now + overlap if overlap else None)
        shown = self._keys.shown(kept.webhook_id, secret)
        return await self._store.rotate(project_id, name, kept.secret, secret), shown

    async def delete(self, project_id: int, name: str) -> None:
        await self._store.delete(project_id, name)

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptWebhook:
        found = await self._store.pause(project_id, name, paused)
        self._changed()
        return found

    async def replay(self, project_id: int, name: str, which: WhichDeliveries) -> int:
        """Raises InvalidInput where it does not say which, NotFound."""
        if which == WhichDeliveries():
            raise InvalidInput(
                "It is not said which deliveries are sent again.",
                where="delivery",
                advice="Name one, `dead` for all dead letters, or `since` and `until`.",
            )
        count = await self._store.replay(project_id, name, which)
        if not count and which.delivery_id is not None:
            await self._look_for(project_id, name, which.delivery_id)
        self._changed()
        return count

    async def _look_for(self, project_id: int, name: str, delivery_id: UUID) -> None:
        if not await self._store.deliveries(project_id, name, WhichDeliveries(delivery_id), 1):
            raise NotFound(f"There is no delivery {message_id(delivery_id)} of {name!r}.", where="delivery")

    async def trial(self, project_id: int, name: str, clock: Clock) -> tuple[str, Heard]:
        """Sends one message now, of which nothing is kept, and says what came of it. Raises NotFound."""
        kept = await self._store.get(project_id, name)
        told = message_id(self._new_id())
        return told, await self._sender.send(kept, told, trial_body(kept.name, project_id, clock.now()))

    def _changed(self) -> None:
        self._bus.publish(TOPIC, {})

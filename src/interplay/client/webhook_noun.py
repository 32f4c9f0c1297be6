"""The noun of webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from interplay.client.noun import Noun
from interplay.contracts.http.answers import (
    DeliveriesReplayed,
    Delivery,
    DeliveryPage,
    Webhook,
    WebhookPage,
    WebhookPut,
    WebhookRotated,
    WebhookTrial,
)


class Webhooks(Noun):
    """Webhooks: events of runs, sent to other systems."""

    async def put(self, name: str, url: str, **more: Any) -> WebhookPut:
        """Makes or changes it; `secret` is there when it was made, and only then. More: events (names; without them the
        ends of runs), flows (names; without them all), timeout, paused."""
        found: WebhookPut = await self._transport.request("PUT", _path(name), body={"url": url, **more})
        return found

    async def get(self, name: str) -> Webhook:
        """One webhook."""
        found: Webhook = await self._get(_path(name))
        return found

    async def list(self, limit: int = 100, cursor: str | None = None) -> WebhookPage:
        """A page of webhooks, by name."""
        found: WebhookPage = await self._get("/webhooks", limit=limit, cursor=cursor)
        return found

    async def each(self) -> AsyncIterator[Webhook]:
        """All webhooks, by name."""
        async for webhook in self._each(self.list, limit=500):
            yield webhook

    async def delete(self, name: str) -> None:
        """Forgets it and its deliveries, those that wait, too."""
        await self._transport.request("DELETE", _path(name))

    async def pause(self, name: str) -> Webhook:
        """What is to be delivered waits until it is resumed, three days at most."""
        found: Webhook = await self._transport.request("POST", f"{_path(name)}/pause", repeatable=True)
        return found

    async def resume(self, name: str) -> Webhook:
        """It is called again at once, even if it was disabled, or rested because it failed."""
        found: Webhook = await self._transport.request("POST", f"{_path(name)}/resume", repeatable=True)
        return found

    async def rotate(self, name: str, overlap: float = 86_400.0) -> WebhookRotated:
        """A new secret, shown once. For `overlap` seconds messages carry a signature of the old one, too."""
        found: WebhookRotated = await self._transport.request(
            "POST", f"{_path(name)}/rotate", body={"overlap": overlap}
        )
        return found

    async def test(self, name: str) -> WebhookTrial:
        """Sends one message of the type `webhook.test` now, and says what came of it."""
        found: WebhookTrial = await self._transport.request("POST", f"{_path(name)}/test", repeatable=True)
        return found

    async def deliveries(
        self, name: str, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> DeliveryPage:
        """A page of its deliveries, the newest first; `state`: waits, delivered or dead."""
        found: DeliveryPage = await self._get(f"{_path(name)}/deliveries", state=state, limit=limit, cursor=cursor)
        return found

    async def each_delivery(self, name: str, state: str | None = None) -> AsyncIterator[Delivery]:
        """All its deliveries, the newest first."""
        async for delivery in self._each(self.deliveries, name=name, state=state, limit=500):
            yield delivery

    async def replay(
        self,
        name: str,
        delivery: str | None = None,
        *,
        dead: bool = False,
        since: float | None = None,
        until: float | None = None,
    ) -> DeliveriesReplayed:
        """Sends deliveries again: one by its id, all that are `dead`, those made from `since` until before `until` (in
        seconds since the epoch)."""
        body = {"delivery": delivery, "dead": dead, "since": since, "until": until}
        found: DeliveriesReplayed = await self._transport.request("POST", f"{_path(name)}/replay", body=body)
        return found


def _path(name: str) -> str:
    return f"/webhooks/{quote(name, safe='')}"

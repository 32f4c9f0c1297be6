"""Nouns of the client without `await`: the same methods.

Written by `make docs` from `webhook_noun.py`: change that, not this module. It is written out, and not made at
run time, so that editors and type checkers know every method, its parameters and what it returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interplay.client import webhook_noun
from interplay.client.loop_thread import LoopThread
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


class Webhooks:
    """Webhooks: events of runs, sent to other systems."""

    def __init__(self, noun: webhook_noun.Webhooks, loop: LoopThread) -> None:
        self._noun = noun
        self._loop = loop

    def put(self, name: str, url: str, **more: Any) -> WebhookPut:
        """Makes or changes it; `secret` is there when it was made, and only then. More: events (names; without them the
        ends of runs), flows (names; without them all), timeout, paused.
        """
        return self._loop.run(self._noun.put(name, url, **more))

    def get(self, name: str) -> Webhook:
        """One webhook."""
        return self._loop.run(self._noun.get(name))

    def list(self, limit: int = 100, cursor: str | None = None) -> WebhookPage:
        """A page of webhooks, by name."""
        return self._loop.run(self._noun.list(limit, cursor))

    def each(self) -> Iterator[Webhook]:
        """All webhooks, by name."""
        return self._loop.each(self._noun.each())

    def delete(self, name: str) -> None:
        """Forgets it and its deliveries, those that wait, too."""
        self._loop.run(self._noun.delete(name))

    def pause(self, name: str) -> Webhook:
        """What is to be delivered waits until it is resumed, three days at most."""
        return self._loop.run(self._noun.pause(name))

    def resume(self, name: str) -> Webhook:
        """It is called again at once, even if it was disabled, or rested because it failed."""
        return self._loop.run(self._noun.resume(name))

    def rotate(self, name: str, overlap: float = 86400.0) -> WebhookRotated:
        """A new secret, shown once. For `overlap` seconds messages carry a signature of the old one, too."""
        return self._loop.run(self._noun.rotate(name, overlap))

    def test(self, name: str) -> WebhookTrial:
        """Sends one message of the type `webhook.test` now, and says what came of it."""
        return self._loop.run(self._noun.test(name))

    def deliveries(
        self, name: str, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> DeliveryPage:
        """A page of its deliveries, the newest first; `state`: waits, delivered or dead."""
        return self._loop.run(self._noun.deliveries(name, state, limit, cursor))

    def each_delivery(self, name: str, state: str | None = None) -> Iterator[Delivery]:
        """All its deliveries, the newest first."""
        return self._loop.each(self._noun.each_delivery(name, state))

    def replay(
        self,
        name: str,
        delivery: str | None = None,
        *,
        dead: bool = False,
        since: float | None = None,
        until: float | None = None,
    ) -> DeliveriesReplayed:
        """Sends deliveries again: one by its id, all that are `dead`, those made from `since` until before `until` (in
        seconds since the epoch).
        """
        return self._loop.run(self._noun.replay(name, delivery, dead=dead, since=since, until=until))

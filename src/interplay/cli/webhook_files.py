"""Webhooks that `apply` takes from files. The secret of one that is made is said once, with what was done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interplay.client import AsyncClient
from interplay.core.webhooks.reading import WrittenWebhook

Say = Callable[..., None]


@dataclass(frozen=True, slots=True)
class WebhookFiles:
    """What files say, and the webhooks that the server has, by name."""

    written: Sequence[WrittenWebhook]
    there: Mapping[str, Mapping[str, Any]]

    @classmethod
    async def of(cls, client: AsyncClient, written: Sequence[WrittenWebhook]) -> WebhookFiles:
        there = {entry["name"]: entry async for entry in client.webhooks.each()} if written else {}
        return cls(written, there)

    async def apply(self, client: AsyncClient, plan: bool, say: Say) -> None:
        for one in self.written:
            webhook, there = one.webhook, self.there.get(one.name, {})
            flows = list(webhook.flows) if webhook.flows is not None else None
            body: dict[str, Any] = {"url": webhook.url, "events": list(webhook.events), "timeout": webhook.timeout}
            body |= {"flows": flows} if one.paused is None else {"flows": flows, "paused": one.paused}
            same = all(there.get(field) == value for field, value in body.items()) and not there.get("disabled")
            if same or plan:
                say("webhook", one.name, not same, "as it is" if same else "would change")
                continue
            made = await client.webhooks.put(one.name, **body)
            if made["secret"] is None:
                say("webhook", one.name, True, "changed")
            else:
                words = f"made; secret {made['secret']} (not to be seen again)"
                say("webhook", one.name, True, words, secret=made["secret"])

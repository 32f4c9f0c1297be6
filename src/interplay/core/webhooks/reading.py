"""Webhooks as a file holds them: `webhooks:`, a mapping of names to what each is."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interplay.core.flows.named_things import NamedThings
from interplay.core.webhooks.webhook import Webhook, webhook_name, webhook_of


class WrittenWebhook(msgspec.Struct, frozen=True):
    """One of a file. `paused` None: the file does not say."""

    name: str
    webhook: Webhook
    paused: bool | None


def _made(name: str, body: dict[str, Any], paused: bool | None, where: str) -> WrittenWebhook:  # noqa: ARG001
    return WrittenWebhook(webhook_name(name), webhook_of(body), paused)


WEBHOOKS: Final = NamedThings("webhooks", Webhook.__struct_fields__, _made)

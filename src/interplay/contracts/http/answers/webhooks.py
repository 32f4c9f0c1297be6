"""Answers about webhooks."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Webhook(TypedDict):
    """Where events of runs are sent. Times are seconds since the epoch."""

    webhook: str
    """Its id, a UUID."""
    name: str
    url: str
    events: list[str]
    """Which events, by their names."""
    flows: list[str] | None
    """Of which flows; None: of all."""
    timeout: float
    """Seconds that the receiver has for its answer."""
    paused: bool
    """Deliveries wait until it is resumed."""
    disabled: str | None
    """Why it is called no more, until it is resumed."""
    problem: str | None
    """Of the last round that failed; None: the last one got through."""
    failures: int
    """Rounds in a row in which nothing got through."""
    rests_until: float | None
    """It is left alone until then, because it failed or asked for it."""
    delivered: int
    """Deliveries that got through, since it was made."""
    dead: int
    """Deliveries that became dead letters, since it was made."""
    former_until: float | None
    """Until when messages are signed with the secret before the last rotation, too."""
    key: str | None
    """The id of the key that made or last changed it."""
    created_at: float


class WebhookPut(Webhook):
    """A webhook that was put."""

    created: bool
    """False: it was there; it was changed, or is as it was."""
    secret: str | None
    """What its messages are signed with, where it was made: it is not to be seen again."""


class WebhookRotated(Webhook):
    """A webhook with a new secret."""

    secret: str
    """What its messages are signed with from now on: it is not to be seen again."""


class WebhookPage(TypedDict):
    """Webhooks by name."""

    items: list[Webhook]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class WebhookTrial(TypedDict):
    """What came of one message that was sent now."""

    webhook: str
    """The webhook's name."""
    delivery: str
    """The `webhook-id` of the message."""
    ok: bool
    """The receiver took it."""
    status: int | None
    """Of its answer; None: there was none."""
    detail: str | None
    """Why it did not take it."""
    seconds: float


class Delivery(TypedDict):
    """One event for one webhook. Times are seconds since the epoch."""

    delivery: str
    """The `webhook-id` of its messages."""
    run: str
    seq: int
    """The event's number in its run."""
    event: str
    state: Literal["waits", "delivered", "dead"]
    attempts: int
    created_at: float
    due_at: float | None
    """When it is tried next, while it waits."""
    settled_at: float | None
    """When it was delivered or given up."""
    status: int | None
    """Of the last answer; None: there was none."""
    detail: str | None
    """Why the last try failed."""


class DeliveryPage(TypedDict):
    """Deliveries of a webhook, the newest first."""

    items: list[Delivery]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class DeliveriesReplayed(TypedDict):
    """What is sent again."""

    webhook: str
    """The webhook's name."""
    replayed: int
    """How many deliveries."""

"""Webhooks as they are kept, and what is to be delivered to them. Every time is the ledger's own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from interplay.core.errors import Conflict
from interplay.core.webhooks.secrets import SigningSecret
from interplay.core.webhooks.trying import State, Verdict
from interplay.core.webhooks.webhook import Webhook


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What somebody wants kept. `secret`: of one that is new. `paused` None: as it is, and not where it is new."""

    webhook_id: UUID
    project_id: int
    name: str
    webhook: Webhook
    secret: SigningSecret
    key_id: UUID | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class KeptWebhook:
    """`revision` rises with each change that a person makes. `disabled`: why it is called no more, until it is resumed.

    `failures`: rounds in a row in which nothing got through. `rests_until`: it is left alone until then. `problem`: of
    the last round that failed. `delivered`, `dead`: deliveries, since it was made.
    """

    webhook_id: UUID
    project_id: int
    name: str
    webhook: Webhook
    secret: SigningSecret
    paused: bool
    revision: int
    created_at: float
    key_id: UUID | None = None
    disabled: str | None = None
    failures: int = 0
    rests_until: float | None = None
    problem: str | None = None
    delivered: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One event for one webhook. The same event again has the same id."""

    delivery_id: UUID
    webhook_id: UUID
    run_id: UUID
    seq: int
    event: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ClaimedDelivery:
    """One to try now. `attempt`: which try this is, from 1, and from 1 again after a replay; `fence` only rises."""

    delivery_id: UUID
    webhook: KeptWebhook
    event: str
    body: bytes
    attempt: int
    fence: int


@dataclass(frozen=True, slots=True)
class TriedDelivery:
    """What came of a claim. `status`: of the answer, where there was one."""

    claim: ClaimedDelivery
    verdict: Verdict
    status: int | None


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery, for people. Times are seconds since the epoch. `status`, `detail`: of the last try."""

    delivery_id: UUID
    run_id: UUID
    seq: int
    event: str
    state: State
    attempts: int
    created_at: float
    due_at: float
    settled_at: float | None
    status: int | None
    detail: str | None

    @property
    def place(self) -> DeliveryPlace:
        return self.created_at, self.delivery_id


# Where a delivery stands in the list of its webhook's, the newest first.
DeliveryPlace = tuple[float, UUID]


@dataclass(frozen=True, slots=True)
class WhichDeliveries:
    """Those of all deliveries that have all of this. `since`, `until`: when they were made."""

    delivery_id: UUID | None = None
    state: State | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """How one webhook fared in what is settled together. `gone`: why it is disabled."""

    delivered: int = 0
    dead: int = 0
    problem: str | None = None
    rest: float = 0.0
    gone: str | None = None


def fared(tried: Sequence[TriedDelivery]) -> dict[UUID, Round]:
    found: dict[UUID, Round] = {}
    for one in tried:
        was, verdict = found.get(one.claim.webhook.webhook_id, Round()), one.verdict
        found[one.claim.webhook.webhook_id] = Round(
            was.delivered + (verdict.state == "delivered"),
            was.dead + (verdict.state == "dead"),
            verdict.detail or was.problem,
            max(was.rest, verdict.rest),
            verdict.detail if verdict.gone else was.gone,
        )
    return found


def changed_meanwhile(name: str) -> Conflict:
    return Conflict(
        f"The webhook {name!r} is not as you saw it.", where="If-Match", advice="Read it again, and then change it."
    )


class WebhookStore(Protocol):
    """Every method that takes a project is bound to it: another project's webhook is not there (NotFound)."""

    async def put(self, wanted: NewWebhook, expected: int | None = None) -> tuple[KeptWebhook, bool]:
        """Makes or changes it, and says whether it was made; the same again changes nothing. One that is changed is
        called at once, and no longer disabled. `expected`: only where it has this revision, else Conflict. Raises
        NotFound for a project that is not there."""
        ...

    async def get(self, project_id: int, name: str) -> KeptWebhook:
        """Raises NotFound with near names."""
        ...

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[KeptWebhook]:
        """By name."""
        ...

    async def delete(self, project_id: int, name: str) -> None:
        """With its deliveries. Raises NotFound."""
        ...

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptWebhook:
        """What is to be delivered waits meanwhile. One that is resumed is called at once, and no longer disabled."""
        ...

    async def rotate(self, project_id: int, name: str, was: SigningSecret, secret: SigningSecret) -> KeptWebhook:
        """Raises NotFound, and Conflict where its secret is not as it `was`."""
        ...

    async def any_webhooks(self) -> bool:
        """Whether anybody wants to be told anything: of all projects, cheaply."""
        ...

    async def wanted(self, project_ids: Collection[int]) -> frozenset[int]:
        """Those of the projects that have a webhook."""
        ...

    async def listening(self, project_ids: Collection[int]) -> list[KeptWebhook]:
        """The webhooks of these projects that are not disabled."""
        ...

    async def queue(self, deliveries: Sequence[NewDelivery]) -> int:
        """How many were not there already. What is for a webhook that is gone is left out."""
        ...

    async def claim(self, most: int, each: int, busy: Mapping[UUID, int], lease: float) -> list[ClaimedDelivery]:
        """What is due, the longest due first, for nobody else while the lease lasts, in seconds. `each`: of one webhook
        at most, beside the `busy` ones; fewer of one that failed lately, one of one that fails."""
        ...

    async def settle(self, tried: Sequence[TriedDelivery]) -> int:
        """Writes down what came of claims. How many counted: one whose lease ended, and that somebody else claimed,
        does not."""
        ...

    async def deliveries(
        self, project_id: int, name: str, which: WhichDeliveries, limit: int, after: DeliveryPlace | None = None
    ) -> list[DeliveryRecord]:
        """The newest first. Raises NotFound."""
        ...

    async def replay(self, project_id: int, name: str, which: WhichDeliveries) -> int:
        """Those that were delivered or are dead are tried anew, with the same ids. How many. Raises NotFound."""
        ...

    async def expire(self, seconds: float) -> int:
        """What waits for longer is dead. How many."""
        ...

    async def forget(self, days: int) -> int:
        """Deliveries that were done with so long ago. How many."""
        ...

"""Deliveries at work: what is due is sent, signed, and what came of it is written down.

    claim what is due ─▶ send, each by itself ─▶ settle what came back ─▶ claim …

Any number of processes do so on one ledger. One that dies leaves its claims to their leases, and the next one sends
them again under the same `webhook-id`. Of one webhook so many are under way at once and no more, so that a receiver
that is slow holds up itself only.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from interplay.core.errors import InterplayError, InvalidInput, Unavailable
from interplay.core.failures import StepFailure
from interplay.core.webhooks.secrets import MasterKeys
from interplay.core.webhooks.signing import signed
from interplay.core.webhooks.trying import OLDEST, WAITS, Heard, State, Verdict, excerpt, retry_after, verdict
from interplay.core.webhooks.webhook import LONGEST
from interplay.ports.clock import Clock
from interplay.ports.event_bus import EventBus
from interplay.ports.http_caller import HttpCaller, HttpRequest
from interplay.ports.webhook_store import AT_ONCE, ClaimedDelivery, KeptWebhook, TriedDelivery, WebhookStore
from interplay.use_cases.queue_deliveries import DUE

TOPIC: Final = "webhook.changed"
LEASE: Final = LONGEST + 30.0  # seconds: the longest call, and time to write down what came of it
POLL: Final = 1.0  # seconds without a hint
_COALESCE: Final = 0.01  # seconds
_PAUSE: Final = 1.0  # seconds after the database was away
_ENOUGH: Final = 4096  # bytes of an answer
_DRAIN: Final = 5.0  # seconds that calls get to end when the process is asked to stop
_STOPPED: Final = Verdict("waits", "The process that sent it was stopped before there was an answer.")
_HOUSEKEEPING: Final = 60.0  # seconds
_MORE: Final = 2.0  # seconds until it goes on where there was more than fits into one go
_LOG: Final = logging.getLogger("interplay.webhooks")


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """`at_once`: calls of this process; `each`: of one webhook. `waits`: seconds before the tries after the first.
    `poll`: seconds between looks without a hint."""

    at_once: int = 256
    each: int = 8
    waits: Sequence[float] = WAITS
    lease: float = LEASE
    poll: float = POLL
    retention_days: int = 30


class SendWebhook:
    """One signed call."""

    def __init__(self, http: HttpCaller, keys: MasterKeys, clock: Clock) -> None:
        self._http = http
        self._keys = keys
        self._clock = clock

    async def send(self, webhook: KeptWebhook, message_id: str, body: bytes) -> Heard:
        """What came of it, whatever that is."""
        now = self._clock.now()
        try:
            secrets = self._keys.valid(webhook.webhook_id, webhook.secret, now)
        except Unavailable as other:
            return Heard(None, str(other))
        headers = signed(secrets, message_id, int(now), body)
        headers |= {"content-type": "application/json", "user-agent": "interplay-webhooks/1"}
        url, timeout = webhook.webhook.url, webhook.webhook.timeout
        request = HttpRequest("POST", url, headers, body, timeout, follow=False, enough=_ENOUGH)
        began = self._clock.monotonic()
        try:
            answer = await self._http.send(request)
        except StepFailure as failed:
            return Heard(None, str(failed), seconds=self._clock.monotonic() - began)
        told = {name.lower(): value for name, value in answer.headers.items()}
        wish = retry_after(told, self._clock.now())
        return Heard(answer.status, excerpt(answer.body), wish, self._clock.monotonic() - began)


@dataclass(slots=True)
class Counted:
    """What a process did since it started."""

    outcomes: Counter[State] = field(default_factory=Counter)
    seconds: float = 0.0


class DeliverWebhooks:
    """`ready` is set once the ledger was looked at; `away`: why it cannot be right now."""

    def __init__(
        self, store: WebhookStore, sender: SendWebhook, bus: EventBus, options: DeliveryOptions | None = None
    ) -> None:
        self._store = store
        self._sender = sender
        self._bus = bus
        self._options = options or DeliveryOptions()
        self._random = random.Random()
        self._stopping = asyncio.Event()
        self._going: dict[asyncio.Task[TriedDelivery], ClaimedDelivery] = {}
        self._done: list[TriedDelivery] = []  # not written down yet
        self._kept_house = float("-inf")
        self.ready = asyncio.Event()
        self.away: str | None = None
        self.counted = Counted()

    def stop(self) -> None:
        """The calls in hand are ended and written down, then `run` returns."""
        self._stopping.set()

    async def run(self) -> None:
        stopping = asyncio.ensure_future(self._stopping.wait())
        async with self._bus.subscribe(DUE, TOPIC) as messages:
            hint = asyncio.ensure_future(anext(messages))
            try:
                while not self._stopping.is_set():
                    seconds = await self._round_or_pause()
                    await asyncio.wait(
                        {hint, stopping, *self._going}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
                    )
                    if hint.done():
                        hint = asyncio.ensure_future(anext(messages))
                    if self._going:
                        await asyncio.wait({stopping}, timeout=_COALESCE)  # one transaction for what ends together
                await self._end()
            finally:
                for task in (hint, stopping, *self._going):
                    task.cancel()
                await asyncio.gather(hint, stopping, *self._going, return_exceptions=True)
                self._going.clear()

    async def _end(self) -> None:
        """What is not over in time, or cannot be written down, is sent again by somebody else."""
        if self._going:
            await asyncio.wait(self._going, timeout=_DRAIN)
        left = [claim for task, claim in self._going.items() if not task.done()]
        try:
            await self._settle([TriedDelivery(claim, _STOPPED, None) for claim in left])
        except Unavailable as away:
            _LOG.warning("%d deliveries are sent again: %s", len(self._done), away.detail)

    async def _round_or_pause(self) -> float:
        """Seconds until the next."""
        try:
            seconds = await self.round()
        except Unavailable as away:
            if self.away is None:
                _LOG.warning("waiting for the database: %s", away.detail)
            self.away = away.detail
            return max(_PAUSE, away.retry_after)
        if self.away is not None:
            _LOG.info("the database is back")
        self.away = None
        self.ready.set()
        return seconds

    async def round(self) -> float:
        """Writes down what is done, and begins with what is due; seconds until the next look. Raises Unavailable."""
        await self._settle()
        await self._keep_house()
        room = self._options.at_once - len(self._going)
        if room <= 0:
            return self._options.poll
        busy = Counter(claim.webhook.webhook_id for claim in self._going.values())
        found = await self._store.claim(room, self._options.each, busy, self._options.lease)
        for claim in found:
            self._going[asyncio.create_task(self._try(claim))] = claim
        return self._options.poll

    async def _settle(self, more: Sequence[TriedDelivery] = ()) -> None:
        """What is not written down stays in hand."""
        over = [task for task in self._going if task.done()]
        for task in over:
            del self._going[task]
            self._done.append(task.result())
        self._done += more
        if not self._done:
            return
        await self._written(self._done)
        self._done.clear()

    async def _written(self, done: Sequence[TriedDelivery]) -> None:
        try:
            await self._store.settle(done)
        except InvalidInput:  # nothing that comes from outside should be that strange; it must not hold up the rest
            if len(done) > 1:
                for one in done:
                    await self._written([one])
                return
            _LOG.exception("what came of a delivery cannot be kept: it is sent again", extra=_about(done[0].claim))
            return
        for one in done:
            self.counted.outcomes[one.verdict.state] += 1
            _tell(one)

    async def _try(self, claim: ClaimedDelivery) -> TriedDelivery:
        try:
            heard = await self._sender.send(claim.webhook, message_id(claim.delivery_id), claim.body)
        except InterplayError as wrong:
            heard = Heard(None, str(wrong))
        except Exception as defect:  # noqa: BLE001 - the edge of a delivery: logged, told, and tried again
            _LOG.exception("a delivery met a defect", extra=_about(claim))
            heard = Heard(None, f"A defect of Interplay held it up: {type(defect).__name__}.")
        self.counted.seconds += heard.seconds
        decided = verdict(heard, claim.attempt, self._random.random(), self._options.waits)
        return TriedDelivery(claim, decided, heard.status)

    async def _keep_house(self) -> None:
        """Several processes at once do no harm."""
        now = asyncio.get_running_loop().time()
        if now - self._kept_house < _HOUSEKEEPING:
            return
        self._kept_house = now
        expired = await self._store.expire(OLDEST)
        if expired:
            _LOG.warning("deliveries waited too long, and are dead letters now", extra={"deliveries": expired})
        forgotten = await self._store.forget(self._options.retention_days)
        if max(expired, forgotten) >= AT_ONCE:
            self._kept_house = now - _HOUSEKEEPING + _MORE


def message_id(delivery_id: object) -> str:
    """The `webhook-id` of a delivery: the same however often it is sent."""
    return f"msg_{str(delivery_id).replace('-', '')}"


def _about(claim: ClaimedDelivery) -> dict[str, object]:
    webhook = claim.webhook
    return {"webhook": webhook.name, "project": webhook.project_id, "delivery": message_id(claim.delivery_id)}


def _tell(one: TriedDelivery) -> None:
    decided: Verdict = one.verdict
    if decided.gone:
        _LOG.warning("a webhook is disabled: %s", decided.detail, extra=_about(one.claim))
    elif decided.state == "dead":
        _LOG.warning("a delivery is a dead letter: %s", decided.detail, extra=_about(one.claim))
    else:
        _LOG.debug("a delivery: %s", decided.detail or decided.state, extra=_about(one.claim))


def metric_lines(counted: Counted) -> list[str]:
    """As Prometheus reads them. Of what waits, each try counts."""
    lines = [
        f'interplay_webhook_tries_total{{outcome="{outcome}"}} {count}'
        for outcome, count in sorted(counted.outcomes.items())
    ]
    return [*lines, f"interplay_webhook_seconds_total {counted.seconds:.6f}"]

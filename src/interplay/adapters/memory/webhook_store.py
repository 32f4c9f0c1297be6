"""Webhooks in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from interplay.core.errors import NotFound
from interplay.core.webhooks.secrets import SigningSecret
from interplay.core.webhooks.trying import REST_AFTER, behind, resting
from interplay.ports.clock import Clock
from interplay.ports.webhook_store import (
    AT_ONCE,
    ClaimedDelivery,
    DeliveryPlace,
    DeliveryRecord,
    KeptWebhook,
    NewDelivery,
    NewWebhook,
    TriedDelivery,
    WhichDeliveries,
    changed_meanwhile,
    fared,
)


@dataclass(slots=True)
class _Row:
    webhook_id: UUID
    body: bytes
    fence: int
    queued_at: float
    record: DeliveryRecord


class MemoryWebhookStore:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[int, str], KeptWebhook] = {}
        self._rows: dict[UUID, _Row] = {}

    async def put(self, wanted: NewWebhook, expected: int | None = None) -> tuple[KeptWebhook, bool]:
        place = (wanted.project_id, wanted.name)
        before = self._kept.get(place)
        if expected is not None and (before is None or before.revision != expected):
            raise changed_meanwhile(wanted.name)
        if before is None:
            fixed = (wanted.webhook_id, wanted.project_id, wanted.name, wanted.webhook, wanted.secret)
            made = KeptWebhook(*fixed, bool(wanted.paused), 1, self._clock.now(), wanted.key_id)
            self._kept[place] = made
            return made, True
        paused = before.paused if wanted.paused is None else wanted.paused
        if (before.webhook, before.paused, before.disabled) == (wanted.webhook, paused, None):
            return before, False
        return self._anew(replace(before, webhook=wanted.webhook, key_id=wanted.key_id, paused=paused)), False

    def _anew(self, kept: KeptWebhook) -> KeptWebhook:
        """Changed by a person: whatever held it up before is over."""
        made = replace(kept, revision=kept.revision + 1, disabled=None, failures=0, rests_until=None, problem=None)
        self._kept[kept.project_id, kept.name] = made
        return made

    async def get(self, project_id: int, name: str) -> KeptWebhook:
        known = self._kept.get((project_id, name))
        if known is None:
            raise NotFound.named("webhook", name, [other for project, other in self._kept if project == project_id])
        return known

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[KeptWebhook]:
        names = sorted(name for project, name in self._kept if project == project_id and name > (after or ""))
        return [self._kept[project_id, name] for name in names[:limit]]

    async def delete(self, project_id: int, name: str) -> None:
        gone = await self.get(project_id, name)
        del self._kept[project_id, name]
        self._rows = {key: row for key, row in self._rows.items() if row.webhook_id != gone.webhook_id}

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptWebhook:
        known = await self.get(project_id, name)
        if known.paused == paused and known.disabled is None and known.rests_until is None:
            return known
        return self._anew(replace(known, paused=paused))

    async def rotate(self, project_id: int, name: str, was: SigningSecret, secret: SigningSecret) -> KeptWebhook:
        known = await self.get(project_id, name)
        if known.secret != was:
            raise changed_meanwhile(name)
        made = replace(known, secret=secret, revision=known.revision + 1)
        self._kept[project_id, name] = made
        return made

    async def any_webhooks(self) -> bool:
        return any(kept.disabled is None for kept in self._kept.values())

    async def wanted(self, project_ids: Collection[int]) -> frozenset[int]:
        return frozenset(kept.project_id for kept in await self.listening(project_ids))

    async def listening(self, project_ids: Collection[int]) -> list[KeptWebhook]:
        found = [one for one in self._kept.values() if one.disabled is None and one.project_id in project_ids]
        return sorted(found, key=lambda one: one.name)

    async def queue(self, deliveries: Sequence[NewDelivery]) -> int:
        there = {(row.webhook_id, row.record.run_id, row.record.seq) for row in self._rows.values()}
        webhooks = {kept.webhook_id for kept in self._kept.values()}
        new, now = 0, self._clock.now()
        for one in deliveries:
            place = (one.webhook_id, one.run_id, one.seq)
            if place in there or one.webhook_id not in webhooks:
                continue
            there.add(place)
            fixed = (one.delivery_id, one.run_id, one.seq, one.event)
            record = DeliveryRecord(*fixed, "waits", 0, now, now, None, None, None)
            self._rows[one.delivery_id] = _Row(one.webhook_id, one.body, 0, now, record)
            new += 1
        return new

    async def claim(self, most: int, each: int, busy: Mapping[UUID, int], lease: float) -> list[ClaimedDelivery]:
        now, found = self._clock.now(), list[ClaimedDelivery]()
        places: list[tuple[float, KeptWebhook, _Row]] = []
        for kept in self._kept.values():
            if kept.paused or kept.disabled is not None or (kept.rests_until or 0.0) > now:
                continue
            room = 1 if kept.failures >= REST_AFTER else min(2, each) if kept.failures else each
            due = [
                row
                for row in self._rows.values()
                if row.webhook_id == kept.webhook_id and row.record.state == "waits" and row.record.due_at <= now
            ]
            due.sort(key=lambda row: row.record.due_at)
            late = behind(kept.failures)
            places += [
                (row.record.due_at + late, kept, row) for row in due[: max(0, room - busy.get(kept.webhook_id, 0))]
            ]
        for _, kept, row in sorted(places, key=lambda place: place[0])[:most]:
            row.fence += 1
            row.record = replace(row.record, attempts=row.record.attempts + 1, due_at=now + lease)
            told = row.record
            found.append(ClaimedDelivery(told.delivery_id, kept, told.event, row.body, told.attempts, row.fence))
        return found

    async def settle(self, tried: Sequence[TriedDelivery]) -> int:
        now, counted = self._clock.now(), list[TriedDelivery]()
        for one in tried:
            row = self._rows.get(one.claim.delivery_id)
            if row is None or row.fence != one.claim.fence or row.record.state != "waits":
                continue
            counted.append(one)
            state, detail = one.verdict.state, one.verdict.detail
            settled = None if state == "waits" else now
            row.record = replace(
                row.record,
                state=state,
                due_at=now + one.verdict.after,
                settled_at=settled,
                status=one.status,
                detail=detail,
            )
        for webhook_id, went in fared(counted).items():
            for place, kept in self._kept.items():
                if kept.webhook_id != webhook_id:
                    continue
                failures = 0 if went.delivered else kept.failures + 1
                rest = max(went.rest, resting(failures))
                self._kept[place] = replace(
                    kept,
                    delivered=kept.delivered + went.delivered,
                    dead=kept.dead + went.dead,
                    failures=failures,
                    problem=None if went.delivered else went.problem,
                    rests_until=now + rest if rest or not went.delivered else None,
                )
                if went.gone is not None:
                    self._disable(place, went.gone)
        return len(counted)

    def _disable(self, place: tuple[int, str], why: str) -> None:
        kept, now = self._kept[place], self._clock.now()
        left = [r for r in self._rows.values() if r.webhook_id == kept.webhook_id and r.record.state == "waits"]
        for row in left:
            row.record = replace(row.record, state="dead", detail=why, settled_at=now)
        self._kept[place] = replace(kept, disabled=why, dead=kept.dead + len(left))

    async def deliveries(
        self, project_id: int, name: str, which: WhichDeliveries, limit: int, after: DeliveryPlace | None = None
    ) -> list[DeliveryRecord]:
        found = sorted((row.record for row in await self._those(project_id, name, which)), key=lambda one: one.place)
        return [one for one in reversed(found) if after is None or one.place < after][:limit]

    async def _those(self, project_id: int, name: str, which: WhichDeliveries) -> list[_Row]:
        kept = await self.get(project_id, name)
        return [
            row
            for row in self._rows.values()
            if row.webhook_id == kept.webhook_id
            and which.delivery_id in (None, row.record.delivery_id)
            and which.state in (None, row.record.state)
            and (which.since is None or row.record.created_at >= which.since)
            and (which.until is None or row.record.created_at < which.until)
        ]

    async def replay(self, project_id: int, name: str, which: WhichDeliveries) -> int:
        now = self._clock.now()
        found = [row for row in await self._those(project_id, name, which) if row.record.state != "waits"]
        for row in found:
            row.queued_at = now
            row.fence += 1
            row.record = replace(row.record, state="waits", attempts=0, due_at=now, settled_at=None)
        return len(found)

    async def expire(self, seconds: float) -> int:
        now, count = self._clock.now(), 0
        for place in list(self._kept):
            dead = self._kept[place].dead
            if (why := self._kept[place].disabled) is not None:  # what was queued by somebody who had looked before
                self._disable(place, why)
            kept = self._kept[place]
            old = [
                row
                for row in self._rows.values()
                if row.webhook_id == kept.webhook_id and row.record.state == "waits" and row.queued_at < now - seconds
            ]
            for row in old:
                before = f"{row.record.detail} " if row.record.detail else ""
                said = f"{before}It waited too long, and is tried no more."
                row.record = replace(row.record, state="dead", detail=said, settled_at=now)
            self._kept[place] = replace(kept, dead=kept.dead + len(old))
            count += self._kept[place].dead - dead
        return count

    async def forget(self, days: int) -> int:
        until = self._clock.now() - days * 86_400
        gone = [key for key, row in self._rows.items() if row.record.settled_at and row.record.settled_at < until]
        for key in gone[:AT_ONCE]:
            del self._rows[key]
        return min(len(gone), AT_ONCE)

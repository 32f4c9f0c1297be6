"""Webhooks in PostgreSQL. A claim is one statement; what came of claims is one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from interplay.adapters.postgres import webhook_sql as sql
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.failpoints import NO_FAILPOINTS, Failpoint, Failpoints
from interplay.core.errors import NotFound
from interplay.core.webhooks.secrets import SigningSecret
from interplay.core.webhooks.trying import FIRST_REST, LONGEST_REST, REST_AFTER, State
from interplay.core.webhooks.webhook import Webhook
from interplay.ports.webhook_store import (
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

_NUMBERS: Final[dict[State, int]] = {"waits": 0, "delivered": 1, "dead": 2}
_STATES: Final[tuple[State, ...]] = ("waits", "delivered", "dead")
_WEBHOOK: Final = msgspec.json.Decoder(Webhook)
_SECRET: Final = msgspec.json.Decoder(SigningSecret)


class PostgresWebhookStore:
    def __init__(self, database: Database, failpoints: Failpoints = NO_FAILPOINTS) -> None:
        self._database = database
        self._failpoints = failpoints

    async def put(self, wanted: NewWebhook, expected: int | None = None) -> tuple[KeptWebhook, bool]:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(sql.HELD, wanted.project_id, wanted.name)
            if row is None and expected is None:
                row = await self._made(connection, wanted)
                if row is not None:
                    return _kept(row), True
                row = await connection.fetchrow(sql.HELD, wanted.project_id, wanted.name)
            before = _kept(row) if row is not None else None
            if before is None or (expected is not None and expected != before.revision):
                raise changed_meanwhile(wanted.name)
            paused = before.paused if wanted.paused is None else wanted.paused
            if (before.webhook, before.paused, before.disabled) == (wanted.webhook, paused, None):
                return before, False
            values = (_json(wanted.webhook), wanted.key_id, paused)
            return _kept(await connection.fetchrow(sql.CHANGE, before.webhook_id, *values)), False

    async def _made(self, connection: Any, wanted: NewWebhook) -> Any:
        values = (wanted.name, _json(wanted.webhook), _json(wanted.secret), wanted.key_id, bool(wanted.paused))
        try:
            return await connection.fetchrow(sql.INSERT, wanted.webhook_id, wanted.project_id, *values)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound(f"There is no project {wanted.project_id}.", where="project") from None

    async def get(self, project_id: int, name: str) -> KeptWebhook:
        async with self._database.session() as connection:
            return _kept(await _row(connection, sql.GET, project_id, name))

    async def page(self, project_id: int, limit: int, after: str | None = None) -> list[KeptWebhook]:
        async with self._database.session() as connection:
            return [_kept(row) for row in await connection.fetch(sql.PAGE, project_id, limit, after)]

    async def delete(self, project_id: int, name: str) -> None:
        async with self._database.session() as connection:
            if not await connection.fetchval(sql.DELETE, project_id, name):
                raise await _missing(connection, project_id, name)

    async def pause(self, project_id: int, name: str, paused: bool) -> KeptWebhook:
        async with self._database.transaction() as connection:
            before = _kept(await _row(connection, sql.HELD, project_id, name))
            if before.paused == paused and before.disabled is None and before.rests_until is None:
                return before
            return _kept(await connection.fetchrow(sql.PAUSE, before.webhook_id, paused))

    async def rotate(self, project_id: int, name: str, was: SigningSecret, secret: SigningSecret) -> KeptWebhook:
        async with self._database.transaction() as connection:
            before = await _row(connection, sql.HELD, project_id, name)
            row = await connection.fetchrow(sql.ROTATE, before["webhook_id"], _json(was), _json(secret))
            if row is None:
                raise changed_meanwhile(name)
            return _kept(row)

    async def any_webhooks(self) -> bool:
        async with self._database.session() as connection:
            return bool(await connection.fetchval(sql.ANY))

    async def wanted(self, project_ids: Collection[int]) -> frozenset[int]:
        async with self._database.session() as connection:
            return frozenset(row["project_id"] for row in await connection.fetch(sql.WANTED, list(project_ids)))

    async def listening(self, project_ids: Collection[int]) -> list[KeptWebhook]:
        async with self._database.session() as connection:
            return [_kept(row) for row in await connection.fetch(sql.LISTENING, list(project_ids))]

    async def queue(self, deliveries: Sequence[NewDelivery]) -> int:
        columns = [
            [one.delivery_id for one in deliveries],
            [one.webhook_id for one in deliveries],
            [one.run_id for one in deliveries],
            [one.seq for one in deliveries],
            [one.event for one in deliveries],
            [one.body for one in deliveries],
        ]
        async with self._database.session() as connection:
            return int(await connection.fetchval(sql.QUEUE, *columns))

    async def claim(self, most: int, each: int, busy: Mapping[UUID, int], lease: float) -> list[ClaimedDelivery]:
        await self._failpoints.reach(Failpoint.DELIVER_BEFORE)
        values = (most, each, list(busy), list(busy.values()), REST_AFTER, lease)
        async with self._database.session() as connection:
            rows = await connection.fetch(sql.CLAIM, *values)
        await self._failpoints.reach(Failpoint.DELIVER_CLAIMED)
        return [
            ClaimedDelivery(row["delivery_id"], _kept(row), row["event"], row["body"], row["attempts"], row["fence"])
            for row in rows
        ]

    async def settle(self, tried: Sequence[TriedDelivery]) -> int:
        await self._failpoints.reach(Failpoint.DELIVER_ANSWERED)
        columns = [
            [one.claim.delivery_id for one in tried],
            [one.claim.fence for one in tried],
            [_NUMBERS[one.verdict.state] for one in tried],
            [one.status for one in tried],
            [one.verdict.detail for one in tried],
            [one.verdict.after for one in tried],
        ]
        async with self._database.transaction() as connection:
            counted = {row["delivery_id"] for row in await connection.fetch(sql.SETTLE, *columns)}
            rounds = fared([one for one in tried if one.claim.delivery_id in counted])
            for webhook_id, went in sorted(rounds.items()):
                bounds = (REST_AFTER, FIRST_REST, LONGEST_REST)
                await connection.execute(
                    sql.FARED, webhook_id, went.delivered, went.dead, went.problem, went.rest, *bounds
                )
                if went.gone is not None:
                    await connection.execute(sql.DISABLE, webhook_id, went.gone)
                    await connection.execute(sql.LEFT_BEHIND, webhook_id, went.gone)
        await self._failpoints.reach(Failpoint.DELIVER_SETTLED)
        return len(counted)

    async def deliveries(
        self, project_id: int, name: str, which: WhichDeliveries, limit: int, after: DeliveryPlace | None = None
    ) -> list[DeliveryRecord]:
        async with self._database.session() as connection:
            webhook_id = (await _row(connection, sql.GET, project_id, name))["webhook_id"]
            place = after if after is not None else (None, None)
            rows = await connection.fetch(sql.DELIVERIES, webhook_id, *_which(which), limit, *place)
        return [DeliveryRecord(**{**row, "state": _STATES[row["state"]]}) for row in rows]

    async def replay(self, project_id: int, name: str, which: WhichDeliveries) -> int:
        async with self._database.session() as connection:
            webhook_id = (await _row(connection, sql.GET, project_id, name))["webhook_id"]
            return int(await connection.fetchval(sql.REPLAY, webhook_id, *_which(which)))

    async def expire(self, seconds: float) -> int:
        async with self._database.session() as connection:
            return int(await connection.fetchval(sql.EXPIRE, seconds))

    async def forget(self, days: int) -> int:
        async with self._database.session() as connection:
            return int(await connection.fetchval(sql.FORGET, days))


def _which(which: WhichDeliveries) -> tuple[Any, ...]:
    state = _NUMBERS[which.state] if which.state is not None else None
    return which.delivery_id, state, which.since, which.until


async def _row(connection: Any, statement: str, project_id: int, name: str) -> Any:
    row = await connection.fetchrow(statement, project_id, name)
    if row is None:
        raise await _missing(connection, project_id, name)
    return row


async def _missing(connection: Any, project_id: int, name: str) -> NotFound:
    names = [row["name"] for row in await connection.fetch(sql.NAMES, project_id)]
    return NotFound.named("webhook", name, names)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _kept(row: Any) -> KeptWebhook:
    return KeptWebhook(
        webhook_id=row["webhook_id"],
        project_id=row["project_id"],
        name=row["name"],
        webhook=_WEBHOOK.decode(row["webhook"]),
        secret=_SECRET.decode(row["secret"]),
        paused=row["paused"],
        revision=row["revision"],
        created_at=row["created_at"],
        key_id=row["key_id"],
        disabled=row["disabled"],
        failures=row["failures"],
        rests_until=row["rests_until"],
        problem=row["problem"],
        delivered=row["delivered"],
        dead=row["dead"],
    )

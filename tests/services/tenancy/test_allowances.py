"""Allowances of processes that were lost: what they held is free, what they had not spent can be spent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.postgres.allowance_store import PostgresAllowanceStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.schema import migrate
from interplay.adapters.postgres.usage_store import PostgresUsageStore
from interplay.core.models.usage import Usage
from interplay.core.models.usage_record import UsageRecord
from interplay.ports.allowance_store import Want
from tests.conformance.conftest import new_id

KEY = new_id()


class Ledger:
    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.allowances = PostgresAllowanceStore(self.database)
        self.usage = PostgresUsageStore(self.database)

    async def leased(self, process: UUID, meter_id: str, amount: int, cap: int = 10_000, window: Any = "total") -> int:
        (grant,) = await self.allowances.lease(process, [Want(meter_id, cap, window, amount)])
        return grant.amount

    async def used(self, meter_id: str) -> int:
        return (await self.allowances.used([meter_id]))[meter_id]

    async def unheard(self, process: UUID, seconds: int) -> None:
        """As if the process had last been heard of so long ago."""
        async with self.database.session() as connection:
            await connection.execute(
                "update allowance_process set heard_at = now() - $2 * interval '1s', "
                "expires_at = now() - ($2 - 15) * interval '1s' where process_id = $1",
                process,
                seconds,
            )

    async def count(self, table: str) -> int:
        async with self.database.session() as connection:
            return int(await connection.fetchval(f"select count(*) from {table}"))


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    await migrate(database_url)
    made = Ledger(database_url)
    yield made
    await made.database.close()


def record(usd: float | None, **more: Any) -> UsageRecord:
    fields: dict[str, Any] = {"at": 1_772_366_400.0, "project_id": 1, "key_id": KEY, "usage": Usage(calls=1, usd=usd)}
    return UsageRecord(new_id(), **{**fields, **more})


class TestLostProcesses:
    async def test_calls_at_once_are_free_when_a_process_was_not_heard_of(self, ledger: Ledger) -> None:
        lost, other = new_id(), new_id()
        assert await ledger.leased(lost, "concurrency:key:a", 4, 4, "held") == 4
        assert await ledger.leased(other, "concurrency:key:a", 1, 4, "held") == 0
        await ledger.unheard(lost, 16)
        assert await ledger.leased(other, "concurrency:key:a", 4, 4, "held") == 4

    async def test_one_that_comes_back_counts_again_with_what_it_holds(self, ledger: Ledger) -> None:
        paused, other = new_id(), new_id()
        await ledger.leased(paused, "concurrency:key:a", 3, 4, "held")
        await ledger.unheard(paused, 60)
        await ledger.allowances.lease(paused, [])
        assert await ledger.leased(other, "concurrency:key:a", 2, 4, "held") == 0
        assert await ledger.leased(other, "concurrency:key:a", 1, 4, "held") == 1

    @pytest.mark.parametrize(
        ("meter_id", "spent"),
        [
            (f"usd:key:{KEY}:total", 300),
            ("usd:project:1:total", 700),
            ("usd:organisation:all:total", 900),
            ("usd:project:3:total", 0),
        ],
        ids=["key", "project", "organisation", "another project"],
    )
    async def test_money_is_compared_with_the_records_of_its_owner(
        self, ledger: Ledger, meter_id: str, spent: int
    ) -> None:
        lost, other = new_id(), new_id()
        records = [
            record(300 / 1e6),
            record(400 / 1e6, key_id=None),
            record(200 / 1e6, project_id=2),
            record(None),
        ]
        await ledger.usage.write(lost, records)
        await ledger.usage.write(other, [record(5000 / 1e6)])
        await ledger.leased(lost, meter_id, 1000)
        await ledger.unheard(lost, 121)
        assert await ledger.allowances.reconcile(120.0) == 1
        assert await ledger.used(meter_id) == 1000 - min(500, 1000 - spent)

    async def test_nothing_comes_back_of_what_was_spent(self, ledger: Ledger) -> None:
        lost = new_id()
        await ledger.usage.write(lost, [record(2000 / 1e6)])
        await ledger.leased(lost, "usd:project:1:total", 1000)
        await ledger.unheard(lost, 121)
        await ledger.allowances.reconcile(120.0)
        assert await ledger.used("usd:project:1:total") == 1000

    async def test_one_that_is_only_late_keeps_its_money(self, ledger: Ledger) -> None:
        late = new_id()
        await ledger.leased(late, "usd:project:1:total", 1000)
        await ledger.unheard(late, 60)
        assert await ledger.allowances.reconcile(120.0) == 0


class TestForgetting:
    async def test_windows_long_over_and_processes_long_gone_are_forgotten(self, ledger: Ledger) -> None:
        gone = new_id()
        await ledger.leased(gone, "requests:key:a", 1, 100, "minute")
        await ledger.leased(gone, "concurrency:key:a", 1, 100, "held")
        await ledger.leased(gone, "usd:key:a:total", 1)
        await ledger.unheard(gone, 90_000)
        async with ledger.database.session() as connection:
            await connection.execute("update allowance set starts = starts - interval '1 hour' where starts > 'epoch'")
        for _ in range(2):
            await ledger.allowances.reconcile(120.0)
        assert [await ledger.count(table) for table in ("allowance", "allowance_hold", "allowance_process")] == [
            1,
            0,
            0,
        ]

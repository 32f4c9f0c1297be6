"""The composition root of tenancy: keys, limits, prices and usage of one process, over one database."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from interplay.adapters.files.usage_spill import FileUsageSpill
from interplay.adapters.postgres.allowance_store import PostgresAllowanceStore
from interplay.adapters.postgres.config_store import PostgresConfigStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.key_store import PostgresKeyStore
from interplay.adapters.postgres.model_registry import PostgresModelRegistry
from interplay.adapters.postgres.price_store import PostgresPriceStore
from interplay.adapters.postgres.usage_store import PostgresUsageStore
from interplay.core.errors import Unavailable
from interplay.core.models.routing import LiveModel, live_model
from interplay.ports.clock import Clock
from interplay.ports.event_bus import EventBus
from interplay.use_cases.admit_call import AdmitCall
from interplay.use_cases.refresh_snapshot import TOPIC, RefreshSnapshot
from interplay.use_cases.set_price import SetPrice
from interplay.use_cases.write_usage import UsageWriter

_HOUSEKEEPING: Final = 60.0  # seconds
_QUIET: Final = 120.0  # seconds after which the money of a process unheard of is settled
_LOG: Final = logging.getLogger("interplay.tenancy")


@dataclass(slots=True)
class Tenancy:
    """What services use of it. `process_id`: whose slices and records these are."""

    process_id: UUID
    keys: PostgresKeyStore
    prices: PostgresPriceStore
    usage: PostgresUsageStore
    allowances: PostgresAllowanceStore
    config: PostgresConfigStore
    snapshots: RefreshSnapshot[LiveModel]
    admit: AdmitCall
    writer: UsageWriter
    set_price: SetPrice
    usage_days: int

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the snapshot before; everything is in the database or on disk when this ends."""
        tasks = [
            asyncio.create_task(work)
            for work in (self.snapshots.run(), self.admit.run(), self.writer.run(), self._keep_house())
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.writer.close()
            await self.admit.close()

    async def _keep_house(self) -> None:
        """Several processes at once do no harm."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING)
            with contextlib.suppress(Unavailable):
                settled = await self.allowances.reconcile(_QUIET)
                if settled:
                    _LOG.info("settled the budgets of processes that were lost", extra={"leases": settled})
                await self.config.forget()
                await self.usage.retire(self.usage_days)


@dataclass(frozen=True, slots=True)
class Parts:
    """What tenancy is made of that others have as well."""

    database: Database
    bus: EventBus
    clock: Clock
    models: PostgresModelRegistry


def make_tenancy(parts: Parts, process_id: UUID, home: Path, usage_days: int) -> Tenancy:
    def changed() -> None:
        parts.bus.publish(TOPIC, {})

    database = parts.database
    snapshots = RefreshSnapshot(PostgresConfigStore(database), parts.bus, live_model)
    allowances = PostgresAllowanceStore(database)
    prices, usage = PostgresPriceStore(database, changed), PostgresUsageStore(database)
    return Tenancy(
        process_id,
        PostgresKeyStore(database, changed),
        prices,
        usage,
        allowances,
        PostgresConfigStore(database),
        snapshots,
        AdmitCall(allowances, parts.clock, process_id, lambda: snapshots.current.keys),
        UsageWriter(usage, FileUsageSpill(home / "spill"), parts.clock, process_id),
        SetPrice(prices, usage, parts.models),
        usage_days,
    )

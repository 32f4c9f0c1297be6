"""On whom the calls of a run's steps count: the key that started it, as far as this process can know."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest

from interplay.adapters.memory.allowance_store import MemoryAllowanceStore
from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.adapters.memory.config_store import MemoryConfigStore
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.key_store import MemoryKeyStore
from interplay.core.failures import StepFailure
from interplay.core.ids import derived_uuid
from interplay.core.models.call_plan import Try
from interplay.core.models.requests import EmbedAnswer
from interplay.core.tenancy.keys import Key, digest_of
from interplay.core.tenancy.limits import Limits
from interplay.use_cases.account_call import AccountCall
from interplay.use_cases.admit_call import AdmitCall
from interplay.use_cases.model_call import ModelCall, Whose
from interplay.use_cases.refresh_snapshot import RefreshSnapshot

TIGHT = Limits(tokens=0)  # nothing fits


def key(name: str, **more: Any) -> Key:
    return Key(derived_uuid(name), 1, name, digest_of(name.encode()), "ik_", frozenset(), **more)


class Step:
    """What a deployment without limits of its own is to the accounts."""

    class live:
        meters = ()


class World:
    def __init__(self) -> None:
        clock, ledger = ManualClock(1_772_366_400.0), MemoryConfigLedger(lambda: None)
        self.keys = MemoryKeyStore(ledger)
        self.snapshots: RefreshSnapshot[Any] = RefreshSnapshot(
            MemoryConfigStore(ledger), MemoryEventBus(), lambda *_: None
        )
        admit = AdmitCall(MemoryAllowanceStore(clock), clock, derived_uuid("process"), lambda: {})
        self.accounts = AccountCall(admit, lambda _: None, self.snapshots, clock, lambda: derived_uuid("record"))

    async def refused(self, key_id: UUID | None, project_id: int = 1) -> bool:
        async def never(_: Any) -> Any:
            raise AssertionError

        call = ModelCall(project_id, "alias", never, EmbedAnswer, whose=Whose(key_id))
        try:
            await self.accounts.reserve(call, cast(Try, Step))
        except StepFailure as over:
            return over.failure.code == "rate_limited"
        return False


@pytest.fixture
async def world() -> World:
    world = World()
    await world.snapshots.load()
    return world


async def test_a_key_that_is_newer_than_the_snapshot_counts_all_the_same(world: World) -> None:
    await world.keys.put_key(key("new", limits=TIGHT))
    assert await world.refused(derived_uuid("new"))
    assert not await world.refused(None)


async def test_one_that_was_revoked_still_counts_and_one_that_was_deleted_does_not(world: World) -> None:
    await world.keys.put_key(key("old", limits=TIGHT, revoked_at=1.0))
    assert await world.refused(derived_uuid("old"))
    await world.keys.delete_key(1, derived_uuid("old"))
    await world.snapshots.refresh()
    assert not await world.refused(derived_uuid("old"))


async def test_one_of_another_project_counts_on_the_project_that_it_named(world: World) -> None:
    other = await world.keys.create_project("other", Limits())
    await world.keys.put_key(key("above", limits=TIGHT))
    assert not await world.refused(derived_uuid("above"), other.project_id)

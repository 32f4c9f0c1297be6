"""Whatever three projects do in whatever order, with ids of their own and of one another: none crosses its border."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.config_ledger import MemoryConfigLedger
from interplay.adapters.memory.config_store import MemoryConfigStore
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.key_store import MemoryKeyStore
from interplay.core.errors import NotFound
from interplay.core.ids import derived_uuid
from interplay.core.tenancy.keys import digest_of
from interplay.core.tenancy.limits import Budget, Limits
from interplay.use_cases.manage_keys import KeyChange, ManageKeys, NewKey
from interplay.use_cases.refresh_snapshot import RefreshSnapshot

OPERATIONS = ("create", "change", "rotate", "revoke", "delete", "budget", "limits", "refresh")
STEP = st.tuples(st.sampled_from(OPERATIONS), st.integers(1, 3), st.integers(0, 9))


class World:
    def __init__(self) -> None:
        ledger = MemoryConfigLedger()
        self.store = MemoryKeyStore(ledger)
        self.made: list[tuple[UUID, int]] = []
        self.secrets: dict[UUID, str] = {}
        self._count = 0
        self.manage = ManageKeys(self.store, ManualClock(1000.0), self._id, self._random)
        self.snapshots: RefreshSnapshot[Any] = RefreshSnapshot(
            MemoryConfigStore(ledger), MemoryEventBus(), lambda *_: None
        )

    def _id(self) -> UUID:
        self._count += 1
        return derived_uuid(str(self._count))

    def _random(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(count, "big")

    async def step(self, operation: str, project: int, place: int) -> None:
        if operation == "create":
            key, secret = await self.manage.create(project, NewKey(f"{len(self.made)} of {project}"))
            self.made.append((key.key_id, project))
            self.secrets[key.key_id] = secret
        elif operation == "refresh":
            await self.snapshots.refresh()
        elif operation == "limits":
            await self.store.put_limits(project, Limits(requests=project))
        elif self.made:
            await self._on_a_key(operation, project, *self.made[place % len(self.made)])

    async def _on_a_key(self, operation: str, project: int, key_id: UUID, owner: int) -> None:
        before = [await self.store.page(number, 100) for number in (1, 2, 3)]
        try:
            if operation == "change":
                await self.manage.change(project, key_id, KeyChange(name=f"{key_id} of {project}"))
            elif operation == "rotate":
                self.secrets[key_id] = (await self.manage.rotate(project, key_id))[1]
            elif operation == "revoke":
                await self.manage.revoke(project, key_id)
            elif operation == "delete":
                await self.manage.delete(project, key_id)
                self.made.remove((key_id, owner))
            else:
                await self.store.put_budget(project, key_id, Budget(1.0))
        except NotFound:
            assert project != owner
            assert before == [await self.store.page(number, 100) for number in (1, 2, 3)]
        else:
            assert project == owner

    async def check(self) -> None:
        await self.snapshots.refresh()
        callers = self.snapshots.current.keys
        assert len(callers) == len(self.made)
        for number in (1, 2, 3):
            own = await self.store.page(number, 100)
            assert all(key.name.endswith(f" of {number}") for key in own)
            assert {key.key_id for key in own} == {key_id for key_id, owner in self.made if owner == number}
        for key_id, owner in self.made:
            caller = callers[digest_of(self.secrets[key_id].encode())]
            assert (caller.key_id, caller.project_id) == (key_id, owner)
            theirs = {meter.meter_id.split(":")[2] for meter in caller.meters}
            assert theirs <= {str(owner), str(key_id)}


class TestBorders:
    @settings(max_examples=100, deadline=None)
    @given(st.lists(STEP, max_size=40))
    def test_no_order_of_operations_crosses_one(self, steps: list[tuple[str, int, int]]) -> None:
        async def run() -> None:
            world = World()
            await world.store.create_project("second", Limits())
            await world.store.create_project("third", Limits())
            await world.snapshots.load()
            for operation, project, place in steps:
                await world.step(operation, project, place)
            await world.check()

        asyncio.run(run())

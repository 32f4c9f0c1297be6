"""The snapshot over PostgreSQL: how long it takes to load, whom it holds up, and how soon a change is everywhere."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interplay.adapters.postgres.config_store import PostgresConfigStore
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.event_bus import PostgresEventBus
from interplay.adapters.postgres.key_store import PostgresKeyStore
from interplay.adapters.postgres.schema import migrate
from interplay.core.ids import derived_uuid
from interplay.core.models.routing import live_model
from interplay.core.tenancy.keys import Key, digest_of
from interplay.core.tenancy.limits import Limits
from interplay.use_cases.refresh_snapshot import TOPIC, RefreshSnapshot

MANY_KEYS = """insert into api_key(key_id, project_id, name, digest, hint, scopes, limits, created_at)
select gen_random_uuid(), 1, 'key ' || n, sha256(convert_to(n::text, 'UTF8')), 'ik_', '{models:call}',
    '{"requests": 60}', now()
from generate_series(1, 10000) n"""
MANY_MODELS = """insert into model(project_id, name, body)
select 1, 'model-' || n, jsonb_build_object('name', 'model-' || n,
'task', 'chat', 'deployments', jsonb_build_array(jsonb_build_object('connection', 'here', 'model', 'm')))
from generate_series(1, 1000) n"""


class Replica:
    """What one server has: its own connections, bus and snapshot."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.bus = PostgresEventBus(self.database)
        self.snapshots: RefreshSnapshot[Any] = RefreshSnapshot(PostgresConfigStore(self.database), self.bus, live_model)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.bus.start()
        await self.snapshots.load()
        self._task = asyncio.create_task(self.snapshots.run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.bus.close()
        await self.database.close()


@pytest.fixture
async def replicas(database_url: str) -> AsyncIterator[list[Replica]]:
    await migrate(database_url)
    made = [Replica(database_url) for _ in range(3)]
    for replica in made:
        await replica.open()
    yield made
    for replica in made:
        await replica.close()


async def longest_pause(work: asyncio.Task[Any]) -> float:
    """The longest that the event loop did not come round for the work's sake: in time of the processor, because
    others may have it in between."""
    longest, before = 0.0, time.thread_time()
    while not work.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    return longest


class TestLoad:
    async def test_ten_thousand_keys_and_a_thousand_models_hold_nobody_up(self, database_url: str) -> None:
        await migrate(database_url)
        database = Database(database_url)
        async with database.session() as connection:
            await connection.execute(MANY_KEYS)
            await connection.execute(MANY_MODELS)
        best = (1e9, 1e9)
        gc.collect()
        gc.freeze()  # what the tests before have left behind is not the snapshot's to be searched
        for _ in range(3):  # the machine may be busy with something else
            replica = Replica(database_url)
            began = time.perf_counter()
            pause = await longest_pause(asyncio.create_task(replica.snapshots.load()))
            best = min(best, (pause, time.perf_counter() - began))
            assert len(replica.snapshots.current.keys) == 10_000
            assert len(replica.snapshots.current.models) == 1_000
            await replica.database.close()
        gc.unfreeze()
        await database.close()
        print(f"loaded in {best[1]:.2f} s, the loop held for {best[0] * 1000:.1f} ms")
        assert best[1] < 3.0
        assert best[0] < 0.02

    async def test_one_change_among_many_keys_is_small_work(self, database_url: str) -> None:
        await migrate(database_url)
        replica = Replica(database_url)
        async with replica.database.session() as connection:
            await connection.execute(MANY_KEYS)
        await replica.snapshots.load()
        keys = PostgresKeyStore(replica.database)
        await keys.put_key(Key(derived_uuid("one"), 1, "one", digest_of(b"one"), "ik_", frozenset()))
        began = time.perf_counter()
        assert await replica.snapshots.refresh()
        assert time.perf_counter() - began < 0.5
        assert digest_of(b"one") in replica.snapshots.current.keys
        await replica.database.close()


class TestReplicas:
    async def test_a_change_is_live_on_every_one_in_under_a_second(self, replicas: list[Replica]) -> None:
        bus = replicas[0].bus
        keys = PostgresKeyStore(replicas[0].database, lambda: bus.publish(TOPIC, {}))
        took = []
        for number in range(5):
            key = Key(derived_uuid("k"), 1, "k", digest_of(b"k"), "ik_", frozenset(), limits=Limits(requests=number))
            began = time.monotonic()
            await keys.put_key(key)
            for replica in replicas:
                while (caller := replica.snapshots.current.keys.get(key.digest)) is None or (
                    caller.key.limits != key.limits
                ):
                    await asyncio.sleep(0.002)
            took.append(time.monotonic() - began)
        assert max(took) < 1.5  # without a hint, a second; the hint of a fresh listener may be lost
        assert min(took) < 0.5

    async def test_they_agree_on_the_version(self, replicas: list[Replica]) -> None:
        keys = PostgresKeyStore(replicas[0].database)
        await asyncio.gather(
            *(
                keys.put_key(Key(derived_uuid(str(n)), 1, str(n), str(n).encode(), "ik_", frozenset()))
                for n in range(30)
            )
        )
        for replica in replicas:
            await replica.snapshots.refresh()
        assert len({replica.snapshots.current.version for replica in replicas}) == 1
        assert {len(replica.snapshots.current.keys) for replica in replicas} == {30}

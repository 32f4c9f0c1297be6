"""Concurrency keys."""

from __future__ import annotations

import asyncio

from tests.conformance.conftest import Stores, new_id, worker


class TestSlots:
    async def test_no_more_than_allowed_hold_one_at_once(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        taken = await asyncio.gather(*(stores.slots.take(1, "k", 3, worker_id, f"h{i}") for i in range(8)))
        assert sum(taken) == 3

    async def test_a_released_one_is_free_again(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        assert await stores.slots.take(1, "k", 1, worker_id, "a")
        assert not await stores.slots.take(1, "k", 1, worker_id, "b")
        await stores.slots.release(1, "k", "a")
        assert await stores.slots.take(1, "k", 1, worker_id, "b")

    async def test_a_holder_keeps_the_one_it_has(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        assert await stores.slots.take(1, "k", 1, worker_id, "a")
        assert await stores.slots.take(1, "k", 1, worker_id, "a")

    async def test_a_dead_workers_slots_are_free(self, stores: Stores) -> None:
        dead, alive = await worker(stores), await worker(stores)
        assert await stores.slots.take(1, "k", 1, dead, "a")
        await stores.queue.retire(dead)
        assert await stores.slots.take(1, "k", 1, alive, "b")

    async def test_a_worker_hears_which_it_has(self, stores: Stores) -> None:
        mine, other = await worker(stores), await worker(stores)
        for worker_id, key, holder in ((mine, "k", "a"), (mine, "l", "b"), (other, "k", "c")):
            assert await stores.slots.take(1, key, 2, worker_id, holder)
        assert sorted(await stores.slots.held(mine)) == [(1, "k", "a"), (1, "l", "b")]

    async def test_a_worker_that_is_not_there_gets_none(self, stores: Stores) -> None:
        assert not await stores.slots.take(1, "k", 1, new_id(), "a")

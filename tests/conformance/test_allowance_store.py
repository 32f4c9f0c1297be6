"""Allowances: leased in slices by many processes, never past a cap."""

from __future__ import annotations

import asyncio
import math
from typing import Any
from uuid import UUID

import pytest

from interplay.ports.allowance_store import GiveBack, Grant, Want
from tests.conformance.conftest import Stores, new_id


def want(amount: int = 1, cap: int = 100, meter: str = "requests:key:a", window: Any = "total") -> Want:
    return Want(meter, cap, window, amount)


async def leased(stores: Stores, process: UUID, wanted: Want) -> Grant:
    (grant,) = await stores.allowances.lease(process, [wanted])
    assert isinstance(grant, Grant)
    return grant


async def used_up(stores: Stores, process: UUID, cap: int, **more: Any) -> int:
    total = 0
    while (grant := await leased(stores, process, want(cap=cap, **more))).amount:
        total += grant.amount
    return total


class TestLease:
    async def test_a_slice_is_a_twentieth_of_the_cap(self, stores: Stores) -> None:
        grant = await leased(stores, new_id(), want(cap=1000))
        assert (grant.amount, grant.remaining, grant.processes, grant.starts) == (50, 950, 1, 0)

    async def test_what_is_needed_is_given_even_if_it_is_more(self, stores: Stores) -> None:
        assert (await leased(stores, new_id(), want(300, 1000))).amount == 300

    async def test_near_the_edge_it_is_half_of_what_is_left(self, stores: Stores) -> None:
        process = new_id()
        await leased(stores, process, want(90, 100))
        assert [(await leased(stores, process, want())).amount for _ in range(5)] == [5, 2, 1, 1, 1]

    async def test_all_of_the_cap_can_be_had_and_no_more(self, stores: Stores) -> None:
        process = new_id()
        assert await used_up(stores, process, 333) == 333
        refused = await leased(stores, process, want(cap=333))
        assert (refused.amount, refused.remaining) == (0, 0)

    async def test_too_much_at_once_is_refused_with_what_is_left(self, stores: Stores) -> None:
        process = new_id()
        await leased(stores, process, want(80))
        refused = await leased(stores, process, want(21))
        assert (refused.amount, refused.remaining) == (0, 20)

    async def test_twenty_processes_at_once_never_pass_the_cap(self, stores: Stores) -> None:
        cap = 1000
        totals = await asyncio.gather(*(used_up(stores, new_id(), cap) for _ in range(20)))
        assert sum(totals) == cap

    async def test_twenty_processes_want_the_same_meters_in_every_order(self, stores: Stores) -> None:
        meters = [f"tokens:key:{letter}" for letter in "abcdef"]

        async def one(turn: int) -> int:
            total = 0
            for step in range(10):
                order = meters[(turn + step) % 6 :] + meters[: (turn + step) % 6]
                wants = [want(3, 500, meter) for meter in (order if turn % 2 else reversed(order))]
                total += sum(grant.amount for grant in await stores.allowances.lease(new_id(), wants))
            return total

        totals = await asyncio.gather(*(one(turn) for turn in range(20)))
        used = await stores.allowances.used(meters)
        assert sum(used.values()) == sum(totals)
        assert all(amount <= 500 for amount in used.values())

    async def test_a_lower_cap_stops_at_once(self, stores: Stores) -> None:
        await leased(stores, new_id(), want(50, 100))
        assert (await leased(stores, new_id(), want(1, 40))).amount == 0

    @pytest.mark.parametrize(("window", "length"), [("minute", 60), ("day", 86_400), ("month", 31 * 86_400)])
    async def test_a_window_says_when_it_ends(self, stores: Stores, window: Any, length: int) -> None:
        grant = await leased(stores, new_id(), want(window=window))
        assert 0 < grant.left <= length
        assert grant.starts % 60 == 0

    async def test_all_time_has_no_end(self, stores: Stores) -> None:
        assert math.isinf((await leased(stores, new_id(), want())).left)

    async def test_nothing_wanted_is_a_sign_of_life(self, stores: Stores) -> None:
        await stores.allowances.lease(new_id(), [])
        assert (await leased(stores, new_id(), want())).processes == 2


class TestGiveBack:
    async def test_what_comes_back_can_be_had_again(self, stores: Stores) -> None:
        process = new_id()
        await leased(stores, process, want(100))
        await stores.allowances.give_back(process, [GiveBack("requests:key:a", "total", 0, 30)])
        assert await used_up(stores, new_id(), 100) == 30

    async def test_what_was_used_beyond_a_slice_counts(self, stores: Stores) -> None:
        process = new_id()
        await leased(stores, process, want(50))
        await stores.allowances.give_back(process, [GiveBack("requests:key:a", "total", 0, -20)])
        assert await used_up(stores, new_id(), 100) == 30

    async def test_it_counts_also_where_nothing_was_leased(self, stores: Stores) -> None:
        await stores.allowances.give_back(new_id(), [GiveBack("usd:key:a:total", "total", 0, -20)])
        assert await stores.allowances.used(["usd:key:a:total"]) == {"usd:key:a:total": 20}

    async def test_nothing_returns_into_a_window_that_is_over(self, stores: Stores) -> None:
        process = new_id()
        grant = await leased(stores, process, want(50, window="month"))
        await stores.allowances.give_back(process, [GiveBack("requests:key:a", "month", grant.starts - 86_400, 50)])
        assert (await leased(stores, process, want(51, window="month"))).amount == 0


class TestHeld:
    async def test_it_is_held_until_it_is_given_back(self, stores: Stores) -> None:
        one, other = new_id(), new_id()
        assert await used_up(stores, one, 5, meter="concurrency:key:a", window="held") == 5
        assert (await leased(stores, other, want(cap=5, meter="concurrency:key:a", window="held"))).amount == 0
        await stores.allowances.give_back(one, [GiveBack("concurrency:key:a", "held", 0, 2)])
        assert await used_up(stores, other, 5, meter="concurrency:key:a", window="held") == 2

    async def test_that_of_a_process_that_has_ended_is_free(self, stores: Stores) -> None:
        one, other = new_id(), new_id()
        await used_up(stores, one, 5, meter="concurrency:key:a", window="held")
        await stores.allowances.retire(one)
        assert await used_up(stores, other, 5, meter="concurrency:key:a", window="held") == 5

    async def test_twenty_processes_at_once_hold_no_more_than_allowed(self, stores: Stores) -> None:
        wanted = {"meter": "concurrency:key:a", "window": "held"}
        totals = await asyncio.gather(*(used_up(stores, new_id(), 30, **wanted) for _ in range(20)))
        assert sum(totals) == 30


class TestReconcile:
    async def test_a_process_that_is_alive_keeps_its_money(self, stores: Stores) -> None:
        await leased(stores, new_id(), want(50, meter="usd:project:1:total"))
        assert await stores.allowances.reconcile(60.0) == 0
        assert await stores.allowances.used(["usd:project:1:total"]) == {"usd:project:1:total": 50}

    async def test_at_most_a_slice_of_a_lost_process_returns(self, stores: Stores) -> None:
        await leased(stores, new_id(), want(500, 1000, meter="usd:project:1:total"))
        await asyncio.sleep(0.01)  # the quiet time below
        assert await stores.allowances.reconcile(0.005) == 1
        assert await stores.allowances.used(["usd:project:1:total"]) == {"usd:project:1:total": 450}
        assert await stores.allowances.reconcile(0.005) == 0

    async def test_one_that_ended_in_good_order_left_nothing_to_settle(self, stores: Stores) -> None:
        process = new_id()
        await leased(stores, process, want(500, 1000, meter="usd:project:1:total"))
        await stores.allowances.retire(process)
        assert await stores.allowances.reconcile(0.0) == 0
        assert await stores.allowances.used(["usd:project:1:total"]) == {"usd:project:1:total": 500}

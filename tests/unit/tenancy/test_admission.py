"""Whether a call may be made: slices in memory, the store asked only when they are used up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.memory.allowance_store import MemoryAllowanceStore
from interplay.adapters.memory.clock import ManualClock
from interplay.core.errors import BudgetReached, LimitReached, Unauthorized, Unavailable
from interplay.core.ids import derived_uuid
from interplay.core.tenancy.keys import Caller, Key, Project, callers_of, digest_of
from interplay.core.tenancy.limits import Budget, Limits, Meter, limit_meters
from interplay.ports.allowance_store import GiveBack, Grant, Want
from interplay.use_cases.admit_call import AdmitCall, Reservation

START = 1_772_366_400.0  # the first second of a minute


class Store(MemoryAllowanceStore):
    """The twin, which can be away, and counts how often it is asked."""

    away = False
    asked = 0

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.told = asyncio.Event()  # something was given back, or a debt told
        self.answers = asyncio.Event()  # cleared: it takes its time
        self.answers.set()

    async def lease(self, process_id: UUID, wants: Sequence[Want]) -> list[Grant]:
        self.asked += 1
        if self.away:
            raise Unavailable("The database does not answer.")
        await self.answers.wait()
        return await super().lease(process_id, wants)

    async def give_back(self, process_id: UUID, returned: Sequence[GiveBack]) -> None:
        if self.away:
            raise Unavailable("The database does not answer.")
        await super().give_back(process_id, returned)
        self.told.set()


class Gate:
    """A process that admits calls of one key."""

    def __init__(self, store: Store, clock: ManualClock, number: int = 1) -> None:
        self.callers: dict[bytes, Caller] = {}
        self.admit = AdmitCall(store, clock, derived_uuid("process", str(number)), lambda: self.callers)

    def knows(self, secret: str = "ik_a", **fields: Any) -> Caller:
        digest = digest_of(secret.encode())
        key = Key(derived_uuid(secret), 1, "app", digest, "ik_a", frozenset({"models:call"}), **fields)
        self.callers |= callers_of(key, Project(1, "default"))
        return self.callers[digest]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def store(clock: ManualClock) -> Store:
    return Store(clock)


@pytest.fixture
async def gate(store: Store, clock: ManualClock) -> AsyncIterator[Gate]:
    gate = Gate(store, clock)
    yield gate
    store.away = False
    await gate.admit.close()


async def reserve(
    gate: Gate, caller: Caller, tokens: int = 0, micros: int = 0, meters: tuple[Meter, ...] = ()
) -> Reservation:
    quick = gate.admit.reserve(caller, meters, tokens, micros)
    return quick if quick is not None else await gate.admit.reserve_slowly(caller, meters, tokens, micros)


async def admitted(gate: Gate, caller: Caller, most: int = 10_000, **wanted: int) -> int:
    """How many calls are let in before the first that is not."""
    for number in range(most):
        try:
            await reserve(gate, caller, **wanted)
        except (LimitReached, BudgetReached, Unavailable):
            return number
    return most


class TestAuthenticate:
    def test_a_known_key_is_its_caller(self, gate: Gate) -> None:
        caller = gate.knows("ik_secret")
        assert gate.admit.authenticate(b"ik_secret") is caller

    @pytest.mark.parametrize("token", [b"", b"ik_other", b"ik_secre", b"\xff" * 10_000])
    def test_anything_else_is_a_stranger(self, gate: Gate, store: Store, token: bytes) -> None:
        gate.knows("ik_secret")
        with pytest.raises(Unauthorized):
            gate.admit.authenticate(token)
        assert store.asked == 0

    def test_a_key_ends_when_it_expires(self, gate: Gate, clock: ManualClock) -> None:
        gate.knows("ik_secret", expires_at=START + 5)
        assert gate.admit.authenticate(b"ik_secret")
        clock.advance(5)
        with pytest.raises(Unauthorized):
            gate.admit.authenticate(b"ik_secret")


class TestLimits:
    async def test_without_limits_nothing_is_asked(self, gate: Gate, store: Store) -> None:
        assert await admitted(gate, gate.knows(), 1000) == 1000
        assert store.asked == 0

    async def test_as_many_requests_as_allowed_and_no_more(self, gate: Gate) -> None:
        assert await admitted(gate, gate.knows(limits=Limits(requests=137))) == 137

    async def test_the_refusal_names_the_limit_and_when_to_come_back(self, gate: Gate, clock: ManualClock) -> None:
        caller = gate.knows(limits=Limits(requests=3))
        clock.advance(20)
        await admitted(gate, caller)
        with pytest.raises(LimitReached) as refused:
            await reserve(gate, caller)
        assert refused.value.limit == "requests of key 'app'"
        assert refused.value.retry_after == pytest.approx(40.0)
        assert refused.value.left == 0

    async def test_the_next_minute_is_a_new_one(self, gate: Gate, clock: ManualClock) -> None:
        caller = gate.knows(limits=Limits(requests=10))
        assert await admitted(gate, caller) == 10
        clock.advance(60)
        assert await admitted(gate, caller) == 10

    async def test_what_is_left_is_all_of_it_once_the_minute_has_turned(self, gate: Gate, clock: ManualClock) -> None:
        caller = gate.knows(limits=Limits(requests=10))
        assert await admitted(gate, caller, 3) == 3
        assert [left for _, left in gate.admit.left(caller)] == [7]
        clock.advance(60)
        assert [left for _, left in gate.admit.left(caller)] == [10]

    async def test_a_process_that_never_asked_says_nothing_of_what_is_left(self, gate: Gate) -> None:
        assert gate.admit.left(gate.knows(limits=Limits(requests=10))) == []

    async def test_a_flood_over_the_limit_hardly_asks_the_store(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=5))
        await admitted(gate, caller)
        asked = store.asked
        for _ in range(1000):
            with pytest.raises(LimitReached):
                await reserve(gate, caller)
        assert store.asked - asked <= 1

    async def test_tokens_are_settled_to_what_was_used(self, gate: Gate) -> None:
        caller = gate.knows(limits=Limits(tokens=1000))
        for _ in range(25):
            reservation = await reserve(gate, caller, tokens=500)
            gate.admit.settle(reservation, 20, None)
        with pytest.raises(LimitReached, match="500 are left"):
            await reserve(gate, caller, tokens=501)

    async def test_more_than_the_estimate_counts_too(self, gate: Gate) -> None:
        caller = gate.knows(limits=Limits(tokens=1000))
        gate.admit.settle(await reserve(gate, caller, tokens=100), 900, None)
        assert await admitted(gate, caller, tokens=10) == 10

    async def test_unknown_usage_leaves_the_estimate(self, gate: Gate) -> None:
        caller = gate.knows(limits=Limits(tokens=1000))
        gate.admit.settle(await reserve(gate, caller, tokens=900), None, None)
        assert await admitted(gate, caller, tokens=10) == 10

    async def test_a_call_that_was_never_made_counts_nowhere(self, gate: Gate) -> None:
        caller = gate.knows(limits=Limits(requests=10, tokens=100, concurrency=1))
        for _ in range(100):
            gate.admit.release(await reserve(gate, caller, tokens=50))
        assert await admitted(gate, caller, tokens=10) == 1

    async def test_a_call_that_never_fits_says_so(self, gate: Gate) -> None:
        with pytest.raises(LimitReached, match="needs 101") as refused:
            await reserve(gate, gate.knows(limits=Limits(tokens=100)), tokens=101)
        assert "fewer tokens" in str(refused.value.advice)

    async def test_calls_at_once_are_freed_when_they_end(self, gate: Gate) -> None:
        caller = gate.knows(limits=Limits(concurrency=2))
        first, _ = await reserve(gate, caller), await reserve(gate, caller)
        with pytest.raises(LimitReached) as refused:
            await reserve(gate, caller)
        assert refused.value.limit == "concurrency of key 'app'"
        gate.admit.settle(first, None, None)
        gate.admit.settle(first, None, None)  # a second time does nothing
        await reserve(gate, caller)
        with pytest.raises(LimitReached):
            await reserve(gate, caller)

    async def test_a_refusal_takes_nothing_of_the_other_limits(self, gate: Gate) -> None:
        caller = gate.knows(limits=Limits(requests=100, tokens=50))
        assert await admitted(gate, caller, tokens=10) == 5
        assert await admitted(gate, gate.knows(limits=Limits(requests=100))) == 95

    async def test_the_models_limits_count_beside_the_keys(self, gate: Gate) -> None:
        caller, meters = gate.knows(limits=Limits(requests=100)), limit_meters("model", "1/small", Limits(requests=4))
        for _ in range(4):
            await reserve(gate, caller, meters=meters)
        with pytest.raises(LimitReached, match="model 1/small"):
            await reserve(gate, caller, meters=meters)

    async def test_sixty_four_clients_at_once_stay_within(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=1000))
        counts = await asyncio.gather(*(admitted(gate, caller) for _ in range(64)))
        assert sum(counts) == 1000
        assert store.asked < 100

    async def test_three_processes_share_a_limit(self, store: Store, clock: ManualClock) -> None:
        gates = [Gate(store, clock, number) for number in range(3)]
        counts = await asyncio.gather(
            *(admitted(gate, gate.knows(limits=Limits(requests=500))) for gate in gates for _ in range(8))
        )
        assert sum(counts) == 500


class TestBudgets:
    async def test_no_more_is_spent_than_there_is(self, gate: Gate) -> None:
        caller = gate.knows(budgets=(Budget(0.01, "total"),))
        assert await admitted(gate, caller, micros=100) == 100

    async def test_the_refusal_says_whose_budget_and_how_much(self, gate: Gate) -> None:
        caller = gate.knows(budgets=(Budget(0.01, "day"),))
        await admitted(gate, caller, micros=3000)
        with pytest.raises(BudgetReached, match=r"key 'app', 0.01 US dollars a day, has 0.001 left") as refused:
            await reserve(gate, caller, micros=3000)
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= 86_400

    async def test_one_in_all_never_begins_anew(self, gate: Gate) -> None:
        caller = gate.knows(budgets=(Budget(0.0, "total"),))
        with pytest.raises(BudgetReached) as refused:
            await reserve(gate, caller, micros=1)
        assert refused.value.retry_after is None

    async def test_what_was_not_spent_is_there_again(self, gate: Gate) -> None:
        caller = gate.knows(budgets=(Budget(0.01, "total"),))
        for _ in range(50):
            gate.admit.settle(await reserve(gate, caller, micros=5000), None, 100)
        assert await admitted(gate, caller, micros=100) == 50

    async def test_a_calls_cost_beyond_its_estimate_is_owed(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(budgets=(Budget(0.01, "total"),))
        gate.admit.settle(await reserve(gate, caller, micros=100), None, 9000)
        await gate.admit.close()
        meter_id = caller.meters[0].meter_id
        assert await store.used([meter_id]) == {meter_id: 9000}


class TestOutage:
    async def test_a_process_lives_on_its_slice_then_on_its_share(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=100))
        await reserve(gate, caller)
        store.away = True
        assert await admitted(gate, caller) == 99

    async def test_three_processes_keep_the_limit_minute_after_minute(self, store: Store, clock: ManualClock) -> None:
        gates = [Gate(store, clock, number) for number in range(3)]
        callers = [gate.knows(limits=Limits(requests=300)) for gate in gates]
        for gate, caller in zip(gates * 2, callers * 2, strict=True):
            await reserve(gate, caller)  # twice, so that the first one too has heard of all three
            clock.advance(0)
        for gate in gates:
            gate.admit.book.processes = 3
        store.away = True
        for minute in range(3):
            counts = [await admitted(gate, caller) for gate, caller in zip(gates, callers, strict=True)]
            assert sum(counts) <= 300 - (6 if minute == 0 else 0)
            assert sum(counts) >= 285
            clock.advance(60)

    async def test_a_budget_gets_one_slice_more_then_nothing(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(budgets=(Budget(1.0, "total"),))
        await reserve(gate, caller, micros=1000)  # leases a slice of 50,000
        store.away = True
        assert await admitted(gate, caller, micros=1000) == 49 + 50
        with pytest.raises(Unavailable, match="budget of key 'app'"):
            await reserve(gate, caller, micros=1000)

    async def test_what_was_lent_is_accounted_when_it_is_back(
        self, gate: Gate, store: Store, clock: ManualClock
    ) -> None:
        caller = gate.knows(limits=Limits(requests=100), budgets=(Budget(1.0, "total"),))
        store.away = True
        assert await admitted(gate, caller, micros=1000) == 50
        store.away = False
        refill = asyncio.create_task(gate.admit.run())
        await gate_hears(store)
        refill.cancel()
        await asyncio.gather(refill, return_exceptions=True)
        await gate.admit.close()
        used = await store.used([meter.meter_id for meter in caller.meters])
        assert sorted(used.values()) == [50, 50_000]

    async def test_calls_that_wait_together_share_what_the_first_of_them_lends(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=100, tokens=10_000))
        store.away = True
        await asyncio.gather(*(reserve(gate, caller, tokens=10) for _ in range(10)))
        assert store.asked == 1

    async def test_no_call_waits_while_it_is_known_to_be_away(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=100))
        store.away = True
        await admitted(gate, caller)
        assert store.asked == 1


async def gate_hears(store: Store) -> None:
    """Until the background task has reached the store."""
    asked = store.asked
    async with asyncio.timeout(5):
        while store.asked < asked + 1:
            await asyncio.sleep(0.01)


class TestBackground:
    async def test_a_slice_that_runs_low_is_filled_off_the_path(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=1000))
        await reserve(gate, caller)
        refill = asyncio.create_task(gate.admit.run())
        for _ in range(30):
            for _ in range(20):
                assert gate.admit.reserve(caller, (), 0, 0) is not None
            await filled(gate, caller)
        refill.cancel()
        await asyncio.gather(refill, return_exceptions=True)

    async def test_a_slice_that_ran_low_on_the_way_to_the_store_is_not_asked_for_twice(
        self, gate: Gate, store: Store
    ) -> None:
        caller = gate.knows(limits=Limits(requests=1000))
        await reserve(gate, caller)
        for _ in range(30):
            assert gate.admit.reserve(caller, (), 0, 0) is not None
        store.answers.clear()
        refill = asyncio.create_task(gate.admit.run())
        while store.asked < 2:
            await asyncio.sleep(0)
        assert gate.admit.reserve(caller, (), 0, 0) is not None
        store.answers.set()
        await filled(gate, caller)
        for _ in range(100):  # turns of the loop, in which it would ask
            await asyncio.sleep(0)
        refill.cancel()
        await asyncio.gather(refill, return_exceptions=True)
        assert store.asked == 2

    async def test_an_idle_slice_is_given_back(self, gate: Gate, store: Store, clock: ManualClock) -> None:
        caller = gate.knows(limits=Limits(requests=1000))
        await reserve(gate, caller)
        meter_id = caller.meters[0].meter_id
        assert await store.used([meter_id]) == {meter_id: 50}
        clock.advance(10)
        refill = asyncio.create_task(gate.admit.run())
        async with asyncio.timeout(5):
            while (await store.used([meter_id]))[meter_id] != 1:
                await asyncio.sleep(0.01)
        refill.cancel()
        await asyncio.gather(refill, return_exceptions=True)

    async def test_at_the_end_everything_unused_goes_back(self, gate: Gate, store: Store) -> None:
        caller = gate.knows(limits=Limits(requests=1000, concurrency=100), budgets=(Budget(1.0, "total"),))
        gate.admit.settle(await reserve(gate, caller, micros=70), None, 60)
        await gate.admit.close()
        used = await store.used([meter.meter_id for meter in caller.meters])
        assert sorted(used.values()) == [0, 1, 60]


async def filled(gate: Gate, caller: Caller) -> None:
    async with asyncio.timeout(5):
        while (kept := gate.admit.book.get(caller.meters[0], START)) is None or kept.left < 25:
            await asyncio.sleep(0.005)


class TestSeveralProcesses:
    async def test_a_debt_is_told_so_that_no_other_spends_it_again(self, store: Store, clock: ManualClock) -> None:
        one, two = Gate(store, clock, 1), Gate(store, clock, 2)
        budget = (Budget(1.0, "total"),)
        mine, other = one.knows(budgets=budget), two.knows(budgets=budget)
        one.admit.settle(await reserve(one, mine, micros=1), 0, 900_000)
        store.told.clear()
        running = asyncio.create_task(one.admit.run())
        async with asyncio.timeout(10):
            await store.told.wait()
        running.cancel()
        with pytest.raises(BudgetReached):
            await reserve(two, other, micros=200_000)
        assert await reserve(two, other, micros=50_000)

    async def test_one_that_ends_leaves_its_share_to_the_others(self, store: Store, clock: ManualClock) -> None:
        one, two = Gate(store, clock, 1), Gate(store, clock, 2)
        limits = Limits(requests=1_000)
        await reserve(one, one.knows(limits=limits))
        await reserve(two, two.knows(limits=limits))
        assert two.admit.book.processes == 2
        await one.admit.close()
        await admitted(two, two.callers[next(iter(two.callers))], 200)
        assert two.admit.book.processes == 1

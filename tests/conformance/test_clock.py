"""Clocks: the machine's and the one that a test holds."""

from __future__ import annotations

import asyncio

import pytest

from interplay.adapters.memory.clock import ManualClock, SystemClock
from interplay.ports.clock import Clock


@pytest.fixture(params=[SystemClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


class TestClock:
    async def test_a_moment_that_has_passed_is_not_waited_for(self, clock: Clock) -> None:
        async with asyncio.timeout(1):
            await clock.sleep_until(clock.monotonic() - 5)

    async def test_it_never_goes_back(self, clock: Clock) -> None:
        readings = [clock.monotonic() for _ in range(1000)]
        assert readings == sorted(readings)

    async def test_a_sleeper_wakes_when_its_time_has_come(self, clock: Clock) -> None:
        sleeper = asyncio.create_task(clock.sleep_until(clock.monotonic() + 0.05))
        if isinstance(clock, ManualClock):
            await asyncio.wait([sleeper], timeout=0.1)
            assert not sleeper.done()
            clock.advance(0.05)
        async with asyncio.timeout(2):
            await sleeper

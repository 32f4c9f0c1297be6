"""Limits and budgets over three gateways that are killed at random, by the books of the upstream.

What is promised stands in `docs/howto/keys-limits-budgets.md`: a limit is not passed while the database answers; money
that a killed server had leased counts as spent, and when it is settled with the usage records at most one slice of it
may be spent again. A slice is a twentieth, and a server holds two at most. These are the figures here, worked out by
hand: nothing asks the code how large it makes a slice.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from interplay.adapters.postgres.allowance_store import PostgresAllowanceStore
from interplay.core.tenancy.limits import Budget, Limits
from interplay.use_cases.manage_keys import NewKey
from tests.faults.gateway.crowd import DEAREST, FACES, PATIENCE, Crowd, Made, crowd
from tests.faults.gateway.score import Tally
from tests.minutes import MINUTE, within_a_minute

pytestmark = pytest.mark.timeout(240)
scenario = pytest.mark.scenario
LIMIT, LIMIT_SLICE = 600, 30  # requests a minute, of the key `limited`
CAP, CAP_SLICE = 300_000, 15_000  # micro-dollars in all, of the key `paying`
HOLDS = 2  # slices: the most that a server has, and a killed one takes along
KILLS = 3
EACH = 150  # calls for each kill: limit and cap let through more than all of them, whatever the killed take along
CALLERS = 32  # of each key
QUIET = 120.0  # seconds after which the money of a server unheard of is settled
LATE = 2.0  # seconds by which a server may take a minute to last longer than the database does


@pytest.fixture
async def three(database_url: str, tmp_path: Path, tally: Tally) -> AsyncIterator[Crowd]:
    seed = int(os.environ.get("INTERPLAY_TEST_SEED") or random.randrange(1_000_000))
    tally.figures.append(f"seed {seed}")
    async with crowd(database_url, tmp_path, random.Random(seed)) as made:
        await made.open(
            NewKey("limited", limits=Limits(requests=LIMIT), budgets=(Budget(1_000, "total"),)),
            NewKey("paying", limits=Limits(requests=1_000_000), budgets=(Budget(CAP / 1e6, "total"),)),
        )
        yield made
    print(f"INTERPLAY_TEST_SEED={seed}", *tally.figures, sep="\n")


def fullest_minute(calls: list[Made]) -> tuple[int, int]:
    """How many calls the fullest minute had: for sure, and perhaps. A call is let in after its caller sent it and
    before it came to the upstream; around the turn of a minute nobody outside can tell in which that was."""
    first = min(call.sent for call in calls)
    for_sure = perhaps = 0
    for start in {call.came // MINUTE * MINUTE for call in calls}:
        since, end = start + (LATE if first < start else 0.0), start + MINUTE
        for_sure = max(for_sure, sum(since <= call.sent and call.came < end for call in calls))
        perhaps = max(perhaps, sum(call.sent < end + LATE and call.came >= start for call in calls))
    return for_sure, perhaps


async def settle_the_killed(three: Crowd) -> None:
    """As each server does once a minute; the killed are made to be unheard of for long enough."""
    async with three.database.session() as connection:
        now = await connection.fetchval("select clock_timestamp()")
        while await connection.fetchval("select count(*) from allowance_process where heard_at > $1", now) < len(FACES):
            await asyncio.sleep(0.1)
        killed = await connection.fetch(
            "update allowance_process set heard_at = heard_at - interval '1 hour' where heard_at <= $1"
            " returning process_id",
            now,
        )
        assert len(killed) == KILLS
        await PostgresAllowanceStore(three.database).reconcile(QUIET)
        held = await connection.fetchval(
            "select count(*) from allowance_hold where meter_id like 'usd:%' and process_id = any($1)",
            [row["process_id"] for row in killed],
        )
        assert held == 0


class TestThreeGateways:
    @scenario("kill -9 under load")
    async def test_that_are_killed_let_no_more_through_than_limit_and_cap(self, three: Crowd, tally: Tally) -> None:
        books = three.books
        await within_a_minute(15.0)
        began = time.monotonic()
        async with asyncio.timeout(PATIENCE), three.calling(CALLERS):
            for kill in range(KILLS):
                books.allow((kill + 1) * EACH)
                await three.kill(kill * EACH + books.chance.randint(EACH // 5, EACH))
            books.allow(1_000_000)
            await three.used_up()
            at_first = books.spent("paying")
            await settle_the_killed(three)
            await three.used_up()
        spent, recorded = books.spent("paying"), await three.recorded("paying")
        for_sure, perhaps = fullest_minute([call for call in books.made if call.name == "limited"])
        under_way = [strike.under_way for strike in books.strikes]
        tally.figures += [
            f"{for_sure} to {perhaps} of {LIMIT} requests",
            f"{at_first}, then {spent} of {CAP} micro-dollars",
            f"{recorded} written down",
            f"killed with {under_way} calls under way, {three.broken} broken off",
            f"{time.monotonic() - began:.0f} s",
        ]
        assert all(under_way), "each was killed while calls were on their way"
        assert three.broken >= sum(under_way), "and their callers know it"
        assert recorded < spent, "some of what was spent was never written down"

        assert for_sure <= LIMIT, "a limit is not passed while the database answers"
        assert at_first <= CAP, "what a killed server had leased counts as spent"
        assert spent <= CAP + KILLS * CAP_SLICE, "at most a slice for each that was killed"
        assert recorded <= CAP, "and only of what was never written down"

        assert perhaps >= LIMIT - KILLS * HOLDS * LIMIT_SLICE, "no more is lost than what the killed had"
        reserved = (sum(under_way) + len(FACES)) * DEAREST
        assert spent >= CAP - KILLS * (HOLDS - 1) * CAP_SLICE - reserved, "a slice of each could be spent again"

"""Housekeeping goes on, whatever one round meets."""

from __future__ import annotations

import asyncio

from interplay.core.errors import Unavailable
from interplay.use_cases.keep_house import KeepHouse


class TestKeepHouse:
    async def test_a_round_that_the_ledger_does_not_answer_is_followed_by_another(self) -> None:
        done: list[str] = []

        async def shelves() -> None:
            done.append("shelves")
            if len(done) == 1:
                raise Unavailable("The database does not answer.")

        async def retire() -> None:
            done.append("retire")

        house = KeepHouse([shelves, retire], every=0.0)
        running = asyncio.create_task(house.run())
        async with asyncio.timeout(5):
            await house.kept.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert done[:3] == ["shelves", "shelves", "retire"]
        assert house.rounds >= 1

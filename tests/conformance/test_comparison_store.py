"""Answers of shadow calls."""

from __future__ import annotations

from interplay.core.failures import Failure
from interplay.core.models.comparison import Comparison, Side
from tests.conformance.conftest import Stores


def comparison(number: int, alias: str = "smart") -> Comparison:
    given = Side("a", 0.5, {"text": f"yes {number}"})
    shadow = Side("b", 1.5, None, Failure("timeout", "it did not answer"))
    return Comparison(alias, float(number), {"messages": [{"role": "user", "content": "?"}]}, given, shadow)


class TestComparisonStore:
    async def test_the_newest_come_first_to_their_project_and_alias(self, stores: Stores) -> None:
        for number in range(3):
            await stores.comparisons.keep(1, comparison(number))
        await stores.comparisons.keep(1, comparison(9, "other"))
        assert await stores.comparisons.newest(1, "smart", 2) == [comparison(2), comparison(1)]
        assert await stores.comparisons.newest(1, "other", 9) == [comparison(9, "other")]
        assert await stores.comparisons.newest(2, "smart", 9) == []

    async def test_only_a_thousand_of_an_alias_are_kept(self, stores: Stores) -> None:
        for number in range(1_010):
            await stores.comparisons.keep(1, comparison(number))
        found = await stores.comparisons.newest(1, "smart", 2_000)
        assert len(found) == 1_000
        assert found[-1].at == 10.0

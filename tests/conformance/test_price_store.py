"""The price book as it is kept."""

from __future__ import annotations

import pytest

from interplay.core.errors import NotFound
from interplay.core.models.pricing import PricePoint
from interplay.core.models.registry import Price
from interplay.core.tenancy.limits import Limits
from tests.conformance.conftest import Stores


def point(at: float, price: float = 1.0, target: str = "here/m", project_id: int = 1) -> PricePoint:
    return PricePoint(project_id, target, at, Price(price, price * 2, cached=price / 2))


class TestPriceStore:
    async def test_prices_come_by_target_and_time(self, stores: Stores) -> None:
        points = [point(200.0, 2.0), point(100.0), point(150.0, target="a")]
        for one in points:
            await stores.prices.put(one)
        assert await stores.prices.prices(1) == [points[2], points[1], points[0]]

    async def test_the_same_moment_again_is_a_correction(self, stores: Stores) -> None:
        await stores.prices.put(point(100.0))
        await stores.prices.put(point(100.0, 3.0))
        assert await stores.prices.prices(1) == [point(100.0, 3.0)]

    async def test_a_deleted_one_is_gone(self, stores: Stores) -> None:
        await stores.prices.put(point(100.0))
        await stores.prices.delete(1, "here/m", 100.0)
        assert await stores.prices.prices(1) == []
        with pytest.raises(NotFound):
            await stores.prices.delete(1, "here/m", 100.0)

    async def test_one_project_sees_none_of_another(self, stores: Stores) -> None:
        other = (await stores.keys.create_project("other", Limits())).project_id
        await stores.prices.put(point(100.0))
        assert await stores.prices.prices(other) == []
        with pytest.raises(NotFound):
            await stores.prices.delete(other, "here/m", 100.0)
        with pytest.raises(NotFound, match="project 99"):
            await stores.prices.put(point(1.0, project_id=99))

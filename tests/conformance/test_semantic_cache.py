"""Answers by the meaning of their questions."""

from __future__ import annotations

import pytest

from interplay.adapters.memory.clock import ManualClock
from interplay.adapters.memory.semantic_cache import MOST, MemorySemanticCache
from interplay.ports.semantic_cache import SemanticCache


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def cache(clock: ManualClock) -> SemanticCache:
    return MemorySemanticCache(clock)


class TestSemanticCache:
    async def test_the_nearest_is_found_with_its_similarity(self, cache: SemanticCache) -> None:
        await cache.put(1, "s", [1.0, 0.0], b"east", 60.0)
        await cache.put(1, "s", [0.0, 2.0], b"north", 60.0)
        found = await cache.nearest(1, "s", [0.1, 5.0])
        assert found is not None
        assert found[1] == b"north"
        assert found[0] == pytest.approx(0.9998, abs=1e-4)

    async def test_opposites_are_minus_one(self, cache: SemanticCache) -> None:
        await cache.put(1, "s", [1.0, 0.0], b"east", 60.0)
        assert await cache.nearest(1, "s", [-3.0, 0.0]) == (pytest.approx(-1.0), b"east")

    async def test_projects_and_scopes_do_not_mix(self, cache: SemanticCache) -> None:
        await cache.put(1, "s", [1.0], b"value", 60.0)
        assert await cache.nearest(2, "s", [1.0]) is None
        assert await cache.nearest(1, "t", [1.0]) is None

    async def test_it_is_gone_after_its_time(self, cache: SemanticCache, clock: ManualClock) -> None:
        await cache.put(1, "s", [1.0], b"value", 60.0)
        clock.advance(61.0)
        assert await cache.nearest(1, "s", [1.0]) is None

    async def test_vectors_of_another_length_are_not_compared(self, cache: SemanticCache) -> None:
        await cache.put(1, "s", [1.0, 0.0], b"value", 60.0)
        assert await cache.nearest(1, "s", [1.0]) is None

    async def test_the_oldest_are_forgotten(self, cache: SemanticCache) -> None:
        await cache.put(1, "s", [0.0, 1.0], b"first", 60.0)
        for _ in range(MOST):
            await cache.put(1, "s", [1.0, 0.0], b"later", 60.0)
        found = await cache.nearest(1, "s", [0.0, 1.0])
        assert found is not None
        assert found[1] == b"later"

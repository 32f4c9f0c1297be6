"""Cached results."""

from __future__ import annotations

import asyncio

from tests.conformance.conftest import Stores


class TestResultCache:
    async def test_what_was_put_comes_back_to_its_project(self, stores: Stores) -> None:
        await stores.cache.put(1, "d", b"value", 60.0)
        assert await stores.cache.get(1, "d") == b"value"
        assert await stores.cache.get(2, "d") is None

    async def test_it_is_gone_after_its_time(self, stores: Stores) -> None:
        await stores.cache.put(1, "d", b"value", 0.05)
        await asyncio.sleep(0.1)
        assert await stores.cache.get(1, "d") is None

    async def test_the_last_one_counts(self, stores: Stores) -> None:
        await stores.cache.put(1, "d", b"one", 60.0)
        await stores.cache.put(1, "d", b"two", 60.0)
        assert await stores.cache.get(1, "d") == b"two"

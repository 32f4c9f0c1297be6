"""Hints between processes."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.conftest import Stores


async def heard(stores: Stores, topic: str, publish: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The first message of a topic. Hints may get lost while a bus connects, so they are sent again."""
    async with stores.bus.subscribe(topic) as messages, asyncio.timeout(10):
        first = asyncio.ensure_future(anext(messages))
        while not first.done():
            for name, message in publish:
                stores.bus.publish(name, message)
            await asyncio.wait([first], timeout=0.05)
        return first.result()[1]


class TestEventBus:
    async def test_a_listener_hears_its_topic(self, stores: Stores) -> None:
        assert await heard(stores, "run.1", [("run.2", {"n": 2}), ("run.1", {"n": 1})]) == {"n": 1}

    async def test_a_star_hears_all_that_begin_so(self, stores: Stores) -> None:
        assert await heard(stores, "queue.*", [("run.1", {"n": 1}), ("queue.x", {"n": 3})]) == {"n": 3}

    async def test_publishing_to_nobody_is_fine(self, stores: Stores) -> None:
        for number in range(20_000):
            stores.bus.publish("run.nobody", {"n": number, "text": "x" * 100})
        assert await heard(stores, "run.1", [("run.1", {"n": 1})]) == {"n": 1}

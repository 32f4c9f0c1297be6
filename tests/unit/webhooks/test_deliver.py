"""The deliverer over stores in memory: nothing that a receiver does stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.http_caller import MemoryHttpCaller
from interplay.adapters.memory.webhook_store import MemoryWebhookStore
from interplay.core.errors import Unavailable
from interplay.core.failures import StepFailure
from interplay.core.webhooks.secrets import MasterKeys
from interplay.core.webhooks.webhook import Webhook
from interplay.ports.http_caller import HttpAnswer
from interplay.ports.webhook_store import KeptWebhook, NewDelivery, NewWebhook, WhichDeliveries
from interplay.use_cases.deliver_webhooks import DeliverWebhooks, DeliveryOptions, SendWebhook, metric_lines

URL = "https://example.com/hooks"
KEYS = MasterKeys(lambda: [b"k" * 32])


class Post:
    def __init__(self) -> None:
        self.clock = SystemClock()
        self.store = MemoryWebhookStore(self.clock)
        self.http = MemoryHttpCaller()
        options = DeliveryOptions(waits=(0.0, 0.0), poll=0.01)
        self.deliverer = DeliverWebhooks(
            self.store, SendWebhook(self.http, KEYS, self.clock), MemoryEventBus(), options
        )

    async def keep(self, name: str = "hook", url: str = URL) -> KeptWebhook:
        kept, _ = await self.store.put(NewWebhook(uuid4(), 1, name, Webhook(url), KEYS.fresh()))
        return kept

    async def tell(self, kept: KeptWebhook, count: int = 1) -> None:
        await self.store.queue(
            [NewDelivery(uuid4(), kept.webhook_id, uuid4(), 1, "run.died", b"{}") for _ in range(count)]
        )

    async def until(self, wanted: Callable[[list[Any]], object], name: str = "hook") -> list[Any]:
        async with asyncio.timeout(20):
            while not wanted(found := await self.store.deliveries(1, name, WhichDeliveries(), 100)):
                await asyncio.sleep(0.005)
        return found


@pytest.fixture
async def post() -> Any:
    made = Post()
    running = asyncio.create_task(made.deliverer.run())
    yield made
    made.deliverer.stop()
    await running


def states(found: list[Any]) -> set[str]:
    return {one.state for one in found}


class TestWhatReceiversDo:
    async def test_an_answer_of_any_bytes_can_be_kept(self, post: Post) -> None:
        post.http.answers[URL] = HttpAnswer(500, {}, b"\x00\xff\xed\xa0\x80" + b"x" * 10_000)
        await post.tell(await post.keep())
        [dead] = await post.until(lambda found: states(found) == {"dead"})
        assert "\x00" not in dead.detail
        assert len(dead.detail) < 400
        dead.detail.encode()

    async def test_a_failure_in_any_words_can_be_kept(self, post: Post) -> None:
        async def send(_: Any) -> Any:
            raise StepFailure("unavailable", "no\x00 \ud800" + "x" * 10_000)

        post.http.send = send  # type: ignore[method-assign]
        await post.tell(await post.keep())
        [dead] = await post.until(lambda found: states(found) == {"dead"})
        dead.detail.encode()
        assert len(dead.detail) < 600

    async def test_a_defect_on_the_way_to_one_stops_no_other(self, post: Post) -> None:
        whole = post.http.send

        async def send(request: Any) -> Any:
            if "broken" in request.url:
                raise RuntimeError("a defect")
            return await whole(request)

        post.http.send = send  # type: ignore[method-assign]
        post.http.answers[URL] = HttpAnswer(204, {}, b"")
        await post.tell(await post.keep("broken", f"{URL}/broken"))
        await post.tell(await post.keep(), 3)
        await post.until(lambda found: states(found) == {"delivered"})
        [dead] = await post.until(lambda found: states(found) == {"dead"}, "broken")
        assert "RuntimeError" in dead.detail

    async def test_what_it_did_is_counted(self, post: Post) -> None:
        post.http.answers[URL] = HttpAnswer(204, {}, b"")
        await post.tell(await post.keep(), 3)
        await post.until(lambda found: states(found) == {"delivered"})
        async with asyncio.timeout(20):
            while post.deliverer.counted.outcomes["delivered"] < 3:
                await asyncio.sleep(0.005)
        assert 'interplay_webhook_tries_total{outcome="delivered"} 3' in metric_lines(post.deliverer.counted)


class TestTheLedger:
    async def test_while_it_is_away_what_came_of_calls_stays_in_hand(self, post: Post) -> None:
        whole, refused = post.store.settle, 0

        async def settle(tried: Any) -> int:
            nonlocal refused
            if refused < 2:
                refused += 1
                raise Unavailable("away", retry_after=0.01)
            return await whole(tried)

        post.store.settle = settle  # type: ignore[method-assign]
        post.http.answers[URL] = HttpAnswer(200, {}, b"")
        await post.tell(await post.keep())
        await post.until(lambda found: states(found) == {"delivered"})
        assert (len(post.http.requests), refused) == (1, 2)

    async def test_after_a_defect_it_can_be_started_again(self, post: Post) -> None:
        whole = post.store.settle

        async def settle(_: Any) -> int:
            post.store.settle = whole  # type: ignore[method-assign]
            raise RuntimeError("a defect")

        post.store.settle = settle  # type: ignore[method-assign]
        post.http.answers[URL] = HttpAnswer(200, {}, b"")
        post.deliverer.stop()
        again = DeliverWebhooks(
            post.store, SendWebhook(post.http, KEYS, post.clock), MemoryEventBus(), DeliveryOptions(poll=0.01)
        )
        await post.tell(await post.keep(), 3)
        with pytest.raises(RuntimeError):
            await again.run()
        running = asyncio.create_task(again.run())
        await post.until(lambda found: states(found) & {"delivered"})
        again.stop()
        await running

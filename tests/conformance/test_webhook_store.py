"""Webhooks as they are kept, and what is to be delivered to them: in PostgreSQL and in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest

from interplay.core.errors import Conflict, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.webhooks.secrets import SigningSecret
from interplay.core.webhooks.trying import REST_AFTER, Verdict
from interplay.core.webhooks.webhook import Webhook
from interplay.ports.webhook_store import (
    ClaimedDelivery,
    KeptWebhook,
    NewDelivery,
    NewWebhook,
    TriedDelivery,
    WhichDeliveries,
)
from tests.conformance.conftest import Stores, new_id

ENDS = Webhook("https://example.com/hooks")
SECRET = SigningSecret(1, "mark")
RUN = new_id()
DELIVERED = Verdict("delivered")
LEASE = 30.0
ALL = WhichDeliveries()


async def put(stores: Stores, name: str = "hook", webhook: Webhook = ENDS, **more: Any) -> KeptWebhook:
    expected = more.pop("expected", None)
    wanted = NewWebhook(new_id(), more.pop("project", 1), name, webhook, SECRET, more.pop("key", None), **more)
    return (await stores.webhooks.put(wanted, expected))[0]


def delivery(kept: KeptWebhook, seq: int, run: UUID = RUN) -> NewDelivery:
    made = derived_uuid(str(kept.webhook_id), str(run), str(seq))
    return NewDelivery(made, kept.webhook_id, run, seq, "run.succeeded", b'{"seq": %d}' % seq)


async def queued(stores: Stores, count: int = 1, name: str = "hook") -> KeptWebhook:
    kept = await put(stores, name)
    assert await stores.webhooks.queue([delivery(kept, seq) for seq in range(1, count + 1)]) == count
    return kept


async def claim(stores: Stores, most: int = 100, each: int = 8, **more: Any) -> list[ClaimedDelivery]:
    found = await stores.webhooks.claim(most, each, more.get("busy", {}), more.get("lease", LEASE))
    return sorted(found, key=lambda one: one.body)


async def settle(stores: Stores, verdict: Verdict, *claims: ClaimedDelivery, status: int | None = 200) -> int:
    counted: int = await stores.webhooks.settle([TriedDelivery(one, verdict, status) for one in claims])
    return counted


async def listed(stores: Stores, name: str = "hook", **which: Any) -> list[Any]:
    found: list[Any] = await stores.webhooks.deliveries(1, name, WhichDeliveries(**which), 100)
    return found


class TestPut:
    async def test_it_is_kept_as_it_was_written(self, stores: Stores) -> None:
        key, webhook = new_id(), Webhook("https://example.com/a", ("step.waiting",), ("triage",), 3.0)
        made, created = await stores.webhooks.put(NewWebhook(new_id(), 1, "hook", webhook, SECRET, key))
        assert created
        assert await stores.webhooks.get(1, "hook") == made
        assert (made.webhook, made.secret, made.key_id) == (webhook, SECRET, key)
        assert (made.paused, made.revision, made.disabled, made.failures) == (False, 1, None, 0)

    async def test_the_same_again_changes_nothing_and_a_change_keeps_its_secret(self, stores: Stores) -> None:
        first = await put(stores)
        assert await put(stores) == first
        other = Webhook("https://example.com/other")
        again = NewWebhook(new_id(), 1, "hook", other, SigningSecret(9, "else"))
        changed, created = await stores.webhooks.put(again)
        assert (changed.webhook_id, changed.secret, changed.revision) == (first.webhook_id, SECRET, 2)
        assert (changed.webhook, created) == (other, False)

    async def test_only_if_it_is_as_it_was_seen(self, stores: Stores) -> None:
        with pytest.raises(Conflict):
            await put(stores, expected=1)
        first = await put(stores)
        other = Webhook("https://example.com/other")
        with pytest.raises(Conflict):
            await put(stores, webhook=other, expected=first.revision + 1)
        assert (await put(stores, webhook=other, expected=first.revision)).revision == 2

    async def test_a_secret_is_rotated_once_from_where_it_was(self, stores: Stores) -> None:
        await put(stores)
        new = SigningSecret(2, "mark", "mark", 12.5)
        assert (await stores.webhooks.rotate(1, "hook", SECRET, new)).secret == new
        with pytest.raises(Conflict):
            await stores.webhooks.rotate(1, "hook", SECRET, new)


class TestLook:
    async def test_a_page_is_by_name_and_of_the_project(self, stores: Stores) -> None:
        for name in ("b", "a", "c"):
            await put(stores, name)
        assert [kept.name for kept in await stores.webhooks.page(1, 2)] == ["a", "b"]
        assert [kept.name for kept in await stores.webhooks.page(1, 2, "b")] == ["c"]
        assert await stores.webhooks.page(2, 10) == []

    async def test_one_that_is_not_there_is_told_with_near_names(self, stores: Stores) -> None:
        await put(stores)
        for work in (stores.webhooks.get(1, "hok"), stores.webhooks.delete(1, "hok")):
            with pytest.raises(NotFound) as missing:
                await work
            assert "hook" in (missing.value.advice or "")
        with pytest.raises(NotFound):
            await stores.webhooks.get(2, "hook")

    async def test_who_listens_is_known_by_project(self, stores: Stores) -> None:
        assert not await stores.webhooks.any_webhooks()
        await put(stores)
        await put(stores, "other", paused=True)
        assert await stores.webhooks.any_webhooks()
        assert await stores.webhooks.wanted([1, 2]) == {1}
        assert [kept.name for kept in await stores.webhooks.listening([1, 2])] == ["hook", "other"]
        assert await stores.webhooks.listening([2]) == []


class TestQueue:
    async def test_an_event_that_is_told_twice_is_one_delivery(self, stores: Stores) -> None:
        kept = await put(stores)
        first, second = delivery(kept, 1), delivery(kept, 2)
        assert await stores.webhooks.queue([first]) == 1
        assert await stores.webhooks.queue([first, second, second]) == 1
        assert [row.seq for row in await listed(stores)] in ([2, 1], [1, 2])

    async def test_told_twice_at_the_same_moment_too(self, stores: Stores) -> None:
        kept = await put(stores)
        many = [delivery(kept, seq) for seq in range(50)]
        counts = await asyncio.gather(*(stores.webhooks.queue(many) for _ in range(4)))
        assert sum(counts) == 50

    async def test_what_is_for_one_that_is_gone_is_left_out(self, stores: Stores) -> None:
        gone = await put(stores, "gone")
        await stores.webhooks.delete(1, "gone")
        kept = await put(stores)
        assert await stores.webhooks.queue([delivery(gone, 1), delivery(kept, 1)]) == 1
        assert await stores.webhooks.queue([]) == 0


class TestClaim:
    async def test_what_is_due_is_one_claimers_while_the_lease_lasts(self, stores: Stores) -> None:
        kept = await queued(stores, 3)
        found = await claim(stores)
        assert [(one.body, one.attempt, one.event) for one in found] == [
            (b'{"seq": %d}' % seq, 1, "run.succeeded") for seq in (1, 2, 3)
        ]
        assert {one.webhook.webhook_id for one in found} == {kept.webhook_id}
        assert await claim(stores) == []

    async def test_several_at_once_never_have_the_same(self, stores: Stores) -> None:
        await queued(stores, 40)
        rounds = await asyncio.gather(*(claim(stores, each=7) for _ in range(8)))
        ids = [one.delivery_id for found in rounds for one in found]
        assert len(ids) == len(set(ids)) > 0

    async def test_one_whose_lease_ended_is_tried_again_and_the_late_word_of_it_counts_no_more(
        self, stores: Stores
    ) -> None:
        await queued(stores)
        [first] = await claim(stores, lease=0.0)
        [second] = await claim(stores)
        assert (second.delivery_id, second.attempt) == (first.delivery_id, 2)
        assert await settle(stores, Verdict("dead", "late"), first) == 0
        assert await settle(stores, DELIVERED, second) == 1
        assert [(row.state, row.attempts, row.status) for row in await listed(stores)] == [("delivered", 2, 200)]

    async def test_one_webhook_has_no_more_than_its_room(self, stores: Stores) -> None:
        slow = await queued(stores, 20, "slow")
        await queued(stores, 3, "other")
        found = await claim(stores, each=4)
        assert [one.webhook.name for one in found].count("slow") == 4
        assert [one.webhook.name for one in found].count("other") == 3
        busy = {slow.webhook_id: 4}
        assert await claim(stores, each=4, busy=busy) == []
        assert len(await claim(stores, each=6, busy=busy)) == 2

    async def test_of_many_no_more_than_asked_for(self, stores: Stores) -> None:
        await queued(stores, 9)
        assert len(await claim(stores, most=5)) == 5

    async def test_nothing_of_one_that_is_paused(self, stores: Stores) -> None:
        await queued(stores)
        await stores.webhooks.pause(1, "hook", True)
        assert await claim(stores) == []
        await stores.webhooks.pause(1, "hook", False)
        assert len(await claim(stores)) == 1


class TestSettle:
    async def test_what_waits_is_due_when_it_says(self, stores: Stores) -> None:
        await queued(stores)
        await settle(stores, Verdict("waits", "no", after=60.0), *await claim(stores), status=500)
        [row] = await listed(stores)
        assert (row.state, row.status, row.detail, row.settled_at) == ("waits", 500, "no", None)
        assert 50 < row.due_at - time.time() <= 60.1
        assert await claim(stores) == []

    async def test_what_is_dead_is_listed_with_its_reason(self, stores: Stores) -> None:
        await queued(stores, 2)
        first, second = await claim(stores)
        await settle(stores, Verdict("dead", "The last."), first, status=None)
        await settle(stores, DELIVERED, second)
        [row] = await listed(stores, state="dead")
        assert (row.detail, row.status, row.settled_at is not None) == ("The last.", None, True)
        kept = await stores.webhooks.get(1, "hook")
        assert (kept.delivered, kept.dead) == (1, 1)

    async def test_one_that_fails_round_after_round_rests_and_a_success_ends_that(self, stores: Stores) -> None:
        await queued(stores, 9)
        again = Verdict("waits", "no", after=0.0)
        for failures in range(REST_AFTER):
            assert (await stores.webhooks.get(1, "hook")).failures == failures
            found = await claim(stores)
            assert len(found) == (8 if not failures else 2)
            await settle(stores, again, *found, status=500)
        kept = await stores.webhooks.get(1, "hook")
        assert (kept.failures, kept.problem) == (REST_AFTER, "no")
        assert kept.rests_until is not None
        assert kept.rests_until > time.time()
        assert await claim(stores) == []
        await stores.webhooks.pause(1, "hook", False)  # somebody who mended it says so
        await settle(stores, DELIVERED, (await claim(stores))[0])
        kept = await stores.webhooks.get(1, "hook")
        assert (kept.failures, kept.rests_until, kept.problem) == (0, None, None)

    async def test_one_that_fails_comes_behind_others_for_a_while_and_not_for_ever(self, stores: Stores) -> None:
        for ago, first in ((0.0, "busy"), (100.0, "bad")):
            await queued(stores, 1, "bad")
            [tried] = await claim(stores)
            await settle(stores, Verdict("waits", "no", after=-ago), tried, status=500)
            busy = await queued(stores, 1, "busy")
            names = [one.webhook.name for one in await stores.webhooks.claim(1, 8, {}, LEASE)]
            assert names == [first]
            await stores.webhooks.delete(1, "bad")
            await stores.webhooks.delete(1, busy.name)

    async def test_a_replay_is_not_settled_by_what_came_before_it(self, stores: Stores) -> None:
        await queued(stores, 1)
        [tried] = await claim(stores)
        await settle(stores, Verdict("dead", "no"), tried, status=500)
        assert await stores.webhooks.replay(1, "hook", WhichDeliveries()) == 1
        await settle(stores, DELIVERED, tried)  # the answer to the first had got lost, so it is sent again
        [row] = await listed(stores)
        assert row.state == "waits"

    async def test_a_receiver_that_asks_for_a_pause_has_it(self, stores: Stores) -> None:
        await queued(stores, 9)
        await settle(stores, Verdict("waits", "busy", after=60.0, rest=60.0), (await claim(stores))[0], status=429)
        rests_until = (await stores.webhooks.get(1, "hook")).rests_until
        assert rests_until is not None
        assert rests_until > time.time() + 50
        assert await claim(stores) == []

    async def test_one_that_is_gone_is_disabled_and_what_waits_for_it_is_dead(self, stores: Stores) -> None:
        await queued(stores, 10)
        await settle(stores, Verdict("dead", "Gone.", gone=True), (await claim(stores))[0], status=410)
        kept = await stores.webhooks.get(1, "hook")
        assert (kept.disabled, kept.dead) == ("Gone.", 10)
        assert {(row.state, row.detail) for row in await listed(stores)} == {("dead", "Gone.")}
        assert not await stores.webhooks.any_webhooks()
        assert await stores.webhooks.wanted([1]) == frozenset()
        assert await stores.webhooks.listening([1]) == []
        resumed = await stores.webhooks.pause(1, "hook", False)
        assert (resumed.disabled, resumed.revision) == (None, 2)
        assert await stores.webhooks.wanted([1]) == {1}

    async def test_of_nothing_nothing_happens(self, stores: Stores) -> None:
        assert await stores.webhooks.settle([]) == 0


class TestDeliveries:
    async def test_are_the_newest_first_and_in_pages(self, stores: Stores) -> None:
        kept = await put(stores)
        for seq in range(5):
            await stores.webhooks.queue([delivery(kept, seq)])
        first = await stores.webhooks.deliveries(1, "hook", ALL, 3)
        rest = await stores.webhooks.deliveries(1, "hook", ALL, 3, first[-1].place)
        assert [row.seq for row in (*first, *rest)] == [4, 3, 2, 1, 0]
        with pytest.raises(NotFound):
            await stores.webhooks.deliveries(2, "hook", ALL, 3)

    async def test_a_replay_tries_them_anew_with_the_same_ids(self, stores: Stores) -> None:
        await queued(stores, 3)
        first, second, third = await claim(stores)
        await settle(stores, Verdict("dead", "no"), first)
        await settle(stores, DELIVERED, second)
        one = WhichDeliveries(first.delivery_id)
        assert await stores.webhooks.replay(1, "hook", one) == 1
        assert await stores.webhooks.replay(1, "hook", one) == 0, "it waits already"
        [again] = await claim(stores)
        assert (again.delivery_id, again.attempt, again.body) == (first.delivery_id, 1, first.body)
        assert again.fence > first.fence
        assert await settle(stores, DELIVERED, first) == 0
        await settle(stores, Verdict("dead", "no"), again)
        assert await stores.webhooks.replay(1, "hook", WhichDeliveries(state="dead")) == 1
        now = time.time()
        assert await stores.webhooks.replay(1, "hook", WhichDeliveries(until=now - 60)) == 0
        assert await stores.webhooks.replay(1, "hook", WhichDeliveries(since=now - 60, until=now + 60)) == 1
        assert {row.state for row in await listed(stores)} == {"waits"}
        assert third.delivery_id not in {one.delivery_id for one in await claim(stores)}
        with pytest.raises(NotFound):
            await stores.webhooks.replay(2, "hook", ALL)

    async def test_what_waits_too_long_is_dead_and_what_is_done_is_forgotten(self, stores: Stores) -> None:
        await queued(stores, 2)
        assert await stores.webhooks.expire(60.0) == 0
        await settle(stores, DELIVERED, (await claim(stores))[0])
        assert await stores.webhooks.expire(-60.0) == 1
        [row] = await listed(stores, state="dead")
        assert "too long" in row.detail
        assert (await stores.webhooks.get(1, "hook")).dead == 1
        assert await stores.webhooks.forget(1) == 0
        assert await stores.webhooks.forget(-1) == 2

    async def test_what_is_queued_for_one_that_was_just_disabled_does_not_wait_for_ever(self, stores: Stores) -> None:
        kept = await queued(stores)
        await settle(stores, Verdict("dead", "Gone.", gone=True), (await claim(stores))[0], status=410)
        await stores.webhooks.queue([delivery(kept, 2)])  # by somebody who had looked before
        assert await claim(stores) == []
        assert await stores.webhooks.expire(60.0) == 1
        assert {(row.seq, row.state, row.detail) for row in await listed(stores)} == {
            (1, "dead", "Gone."), (2, "dead", "Gone."),
        }  # fmt: skip
        assert (await stores.webhooks.get(1, "hook")).dead == 2

    async def test_go_with_their_webhook(self, stores: Stores) -> None:
        await queued(stores, 2)
        [first, _] = await claim(stores)
        await stores.webhooks.delete(1, "hook")
        assert await settle(stores, DELIVERED, first) == 0
        assert await claim(stores) == []

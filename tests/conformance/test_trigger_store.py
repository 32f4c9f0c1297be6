"""Triggers as they are kept: in PostgreSQL and in memory."""

from __future__ import annotations

from typing import Any

import pytest

from interplay.core.errors import Conflict, NotFound
from interplay.core.triggers.trigger import Hook, Trigger
from interplay.core.webhooks.secrets import SigningSecret
from interplay.ports.topic_reader import StartAt
from interplay.ports.trigger_store import KeptTrigger, NewTrigger, Tally
from tests.conformance.conftest import Stores, new_id, new_run

REVIEWS = Trigger("reviews", "triage", filter="${ message.value.stars < 3 }", inputs={"text": "$message.value.text"})


async def put(stores: Stores, name: str = "reviews", trigger: Trigger = REVIEWS, **more: Any) -> KeptTrigger:
    expected = more.pop("expected", None)
    wanted = NewTrigger(new_id(), more.pop("project", 1), name, trigger, more.pop("key", None), **more)
    return (await stores.triggers.put(wanted, expected))[0]


class TestPut:
    async def test_it_is_kept_as_it_was_written(self, stores: Stores) -> None:
        key = new_id()
        made, created = await stores.triggers.put(NewTrigger(new_id(), 1, "reviews", REVIEWS, key))
        assert created
        assert await stores.triggers.get(1, "reviews") == made
        assert (made.trigger, made.paused, made.revision, made.generation) == (REVIEWS, False, 1, 0)
        assert (made.start, made.key_id, made.tally, made.problem) == (StartAt("latest"), key, Tally(), None)

    async def test_the_same_again_changes_nothing(self, stores: Stores) -> None:
        first = await put(stores)
        assert await put(stores) == first

    async def test_a_change_keeps_its_place_in_the_topic(self, stores: Stores) -> None:
        first = await put(stores)
        changed = await put(stores, trigger=Trigger("reviews", "other"))
        assert (changed.trigger_id, changed.revision, changed.generation) == (first.trigger_id, 2, 0)
        assert changed.group == first.group

    async def test_another_topic_is_read_as_by_a_new_one(self, stores: Stores) -> None:
        first = await put(stores)
        changed = await put(stores, trigger=Trigger("other", "triage", start="earliest"))
        assert (changed.generation, changed.start) == (1, StartAt("earliest"))
        assert changed.group != first.group

    async def test_only_if_it_is_as_it_was_seen(self, stores: Stores) -> None:
        with pytest.raises(Conflict):
            await put(stores, expected=1)
        first = await put(stores)
        with pytest.raises(Conflict):
            await put(stores, trigger=Trigger("reviews", "other"), expected=first.revision + 1)
        assert (await put(stores, trigger=Trigger("reviews", "other"), expected=first.revision)).revision == 2


class TestLook:
    async def test_a_page_is_by_name_and_of_the_project(self, stores: Stores) -> None:
        for name in ("b", "a", "c"):
            await put(stores, name)
        assert [kept.name for kept in await stores.triggers.page(1, 2)] == ["a", "b"]
        assert [kept.name for kept in await stores.triggers.page(1, 2, "b")] == ["c"]
        assert await stores.triggers.page(2, 10) == []

    async def test_one_that_is_not_there_is_told_with_near_names(self, stores: Stores) -> None:
        await put(stores)
        for work in (stores.triggers.get(1, "review"), stores.triggers.delete(1, "review")):
            with pytest.raises(NotFound) as missing:
                await work
            assert "reviews" in (missing.value.advice or "")
        with pytest.raises(NotFound):
            await stores.triggers.get(2, "reviews")

    async def test_a_deleted_one_is_gone(self, stores: Stores) -> None:
        await put(stores)
        await stores.triggers.delete(1, "reviews")
        assert await stores.triggers.active() == []


class TestSteer:
    async def test_a_paused_one_is_not_active_and_goes_on_where_it_was(self, stores: Stores) -> None:
        first = await put(stores)
        paused = await stores.triggers.pause(1, "reviews", True)
        assert await stores.triggers.active() == []
        assert await stores.triggers.pause(1, "reviews", True) == paused
        resumed = await stores.triggers.pause(1, "reviews", False)
        assert (resumed.group, resumed.revision) == (first.group, 3)
        assert [kept.name for kept in await stores.triggers.active()] == ["reviews"]

    async def test_a_replay_reads_anew_from_where_it_is_told(self, stores: Stores) -> None:
        first = await put(stores)
        again = await stores.triggers.replay(1, "reviews", StartAt(time=12.5))
        assert (again.start, again.generation) == (StartAt(time=12.5), 1)
        assert again.group != first.group
        assert await stores.triggers.get(1, "reviews") == again


class TestOnesThatAreCalled:
    async def test_read_nothing_and_keep_their_secret(self, stores: Stores) -> None:
        hook, first = Trigger("", "triage", webhook=Hook("github")), SigningSecret(1, "mark")
        made = await put(stores, "called", hook, secret=first)
        assert (made.trigger, made.secret) == (hook, first)
        await put(stores)
        assert [kept.name for kept in await stores.triggers.active()] == ["reviews"]
        paused = await stores.triggers.pause(1, "called", True)
        assert await stores.triggers.called() == [paused]
        changed = await put(stores, "called", Trigger("", "other", webhook=Hook()), secret=SigningSecret(1, "else"))
        assert changed.secret == first

    async def test_a_secret_is_rotated_once_from_where_it_was(self, stores: Stores) -> None:
        first, second = SigningSecret(1, "mark"), SigningSecret(2, "mark", "mark", 12.5)
        await put(stores, "called", Trigger("", "triage", webhook=Hook()), secret=first)
        assert (await stores.triggers.rotate(1, "called", first, second)).secret == second
        with pytest.raises(Conflict):
            await stores.triggers.rotate(1, "called", first, second)
        with pytest.raises(NotFound):
            await stores.triggers.rotate(2, "called", second, first)


class TestNote:
    async def test_a_tally_adds_up(self, stores: Stores) -> None:
        kept = await put(stores)
        await stores.triggers.note(kept.trigger_id, Tally(1, 2, 3, 4), None)
        await stores.triggers.note(kept.trigger_id, Tally(10, 0, 0, 1), None)
        assert (await stores.triggers.get(1, "reviews")).tally == Tally(11, 2, 3, 5)

    async def test_a_problem_has_a_beginning_and_an_end(self, stores: Stores) -> None:
        kept = await put(stores)
        await stores.triggers.note(kept.trigger_id, Tally(), "The broker is away.")
        first = await stores.triggers.get(1, "reviews")
        assert first.problem == "The broker is away."
        await stores.triggers.note(kept.trigger_id, Tally(), "It is still away.")
        assert (await stores.triggers.get(1, "reviews")).problem_at == first.problem_at
        await stores.triggers.note(kept.trigger_id, Tally(), None)
        found = await stores.triggers.get(1, "reviews")
        assert (found.problem, found.problem_at, found.revision) == (None, None, kept.revision)

    async def test_of_one_that_is_gone_nothing_happens(self, stores: Stores) -> None:
        await stores.triggers.note(new_id(), Tally(1), "gone")


class TestQueuedRuns:
    async def test_are_counted_to_a_bound_and_by_project(self, stores: Stores) -> None:
        await stores.runs.create([new_run() for _ in range(5)])
        assert [await stores.runs.queued(1, most) for most in (3, 5, 100)] == [3, 5, 5]
        assert await stores.runs.queued(2, 10) == 0

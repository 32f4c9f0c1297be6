"""Schedules, and the one run of each of their fires.

What is due is made by the decisions of a later hour: `due` says that the fire ahead was, and the store's own clock
agrees only when it was. So a schedule that is due now is one whose times have just begun.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any
from uuid import UUID

import pytest

from interplay.core.errors import Conflict, IdempotencyConflict, NotFound
from interplay.core.runs.status import RunStatus
from interplay.core.schedules.deciding import Due
from interplay.core.schedules.schedule import Schedule
from interplay.ports.run_store import NewRun
from interplay.ports.schedule_store import Firing, NewSchedule, ScheduleRecord
from tests.conformance.conftest import Stores, batch, claimed, new_id, new_run, row, worker

EVERY_MINUTE = Schedule("* * * * *", "f")
YEARLY = Schedule("0 0 1 1 *", "f")


async def made(stores: Stores, schedule: Schedule = EVERY_MINUTE, name: str = "s", **more: Any) -> ScheduleRecord:
    record, _ = await stores.schedules.put(NewSchedule(new_id(), 1, name, schedule, **more))
    found: ScheduleRecord = record
    return found


async def overdue(stores: Stores, schedule: Schedule = EVERY_MINUTE, minutes: int = 10) -> ScheduleRecord:
    """One that was due some minutes ago for the first time."""
    record = await made(stores, schedule)
    then = record.next_at - (minutes + 1) * 60
    if stores.name == "memory":
        held = stores.schedules._rows[1, "s"]
        held.record = dataclasses.replace(held.record, next_at=then)
    else:
        async with stores.schedules._database.session() as connection:
            await connection.execute("update schedule set next_at = to_timestamp($1::float8)", then)
    found: ScheduleRecord = await stores.schedules.get(1, "s")
    assert found.next_at == then
    return found


def due(record: ScheduleRecord, **more: Any) -> Due:
    return Due(record.next_at, record.next_at, record.next_at + 60, **more)


def fire_run(record: ScheduleRecord, moment: float | None = None) -> NewRun:
    at = record.next_at if moment is None else moment
    key = f"schedule:{record.schedule_id}:{at:.0f}"
    return new_run(idempotency_key=key, request_digest=key)


async def fired(stores: Stores, record: ScheduleRecord) -> Any:
    return await stores.schedules.fire(Firing(record, due(record), fire_run(record)))


async def again(stores: Stores) -> ScheduleRecord:
    found: ScheduleRecord = await stores.schedules.get(1, "s")
    return found


async def ended(stores: Stores, run_id: UUID) -> None:
    worker_id = await worker(stores)
    for run in await stores.queue.claim(worker_id, "default", 64):
        if run.run_id == run_id:
            await stores.queue.commit(worker_id, batch(run, row(run, 1), status=RunStatus.SUCCEEDED))


class TestPut:
    async def test_a_new_one_is_due_at_its_next_time(self, stores: Stores) -> None:
        record = await made(stores, name="new", key_id=new_id())
        now = await stores.schedules.now()
        assert now < record.next_at <= now + 60
        assert record.next_at % 60 == 0
        assert (record.revision, record.paused, record.waiting_for) == (1, False, None)
        assert await stores.schedules.get(1, "new") == record

    async def test_the_same_again_changes_nothing(self, stores: Stores) -> None:
        first = await made(stores)
        second, new = await stores.schedules.put(NewSchedule(new_id(), 1, "s", EVERY_MINUTE))
        assert (second, new) == (first, False)

    async def test_other_inputs_leave_what_is_due(self, stores: Stores) -> None:
        before = await overdue(stores)
        after = await made(stores, Schedule("* * * * *", "f", inputs={"x": 1}))
        assert (after.next_at, after.revision) == (before.next_at, before.revision + 1)
        assert (after.schedule.inputs, after.schedule_id) == ({"x": 1}, before.schedule_id)

    async def test_other_times_begin_anew(self, stores: Stores) -> None:
        before = await overdue(stores)
        assert (await made(stores, YEARLY)).next_at > before.next_at + 600

    async def test_only_if_it_is_as_it_was_seen(self, stores: Stores) -> None:
        with pytest.raises(Conflict, match="not as you saw it"):
            await stores.schedules.put(NewSchedule(new_id(), 1, "s", EVERY_MINUTE), 1)
        first = await made(stores)
        changed, _ = await stores.schedules.put(NewSchedule(new_id(), 1, "s", YEARLY), first.revision)
        with pytest.raises(Conflict):
            await stores.schedules.put(NewSchedule(new_id(), 1, "s", EVERY_MINUTE), first.revision)
        assert await again(stores) == changed

    async def test_two_at_once_make_one(self, stores: Stores) -> None:
        wanted = [NewSchedule(new_id(), 1, "s", EVERY_MINUTE) for _ in range(6)]
        found = await asyncio.gather(*(stores.schedules.put(entry) for entry in wanted))
        assert sum(new for _, new in found) == 1
        assert len({record.schedule_id for record, _ in found}) == 1


class TestPage:
    async def test_by_name_and_only_of_the_project(self, stores: Stores) -> None:
        for name in ("b", "a", "c"):
            await made(stores, name=name)
        names = [record.name for record in await stores.schedules.page(1, 2)]
        assert names == ["a", "b"]
        assert [record.name for record in await stores.schedules.page(1, 2, "b")] == ["c"]
        assert await stores.schedules.page(2, 10) == []

    async def test_one_that_is_not_there_is_told_with_near_names(self, stores: Stores) -> None:
        await made(stores, name="nightly")
        for work in (
            stores.schedules.get(1, "nightli"),
            stores.schedules.delete(1, "nightli"),
            stores.schedules.pause(1, "nightli", True),
            stores.schedules.fires(1, "nightli", 10),
        ):
            with pytest.raises(NotFound) as missing:
                await work
            assert "'nightly'" in (missing.value.advice or "")
        with pytest.raises(NotFound):
            await stores.schedules.get(2, "nightly")

    async def test_a_deleted_one_is_gone_with_its_fires(self, stores: Stores) -> None:
        record = await overdue(stores)
        made_run = (await fired(stores, record)).run
        await stores.schedules.delete(1, "s")
        with pytest.raises(NotFound):
            await stores.schedules.get(1, "s")
        assert (await stores.runs.get(1, made_run.run_id)).status is RunStatus.QUEUED
        assert await fired(stores, record) is None
        await made(stores)
        assert await stores.schedules.fires(1, "s", 10) == []


class TestFire:
    async def test_it_starts_a_run_and_moves_on(self, stores: Stores) -> None:
        record = await overdue(stores)
        [entry] = (await stores.schedules.agenda(10)).due
        assert (entry.record, entry.free) == (record, False)
        found = await fired(stores, record)
        assert (found.outcome, found.run.created, found.cancelled) == ("run", True, ())
        assert found.late > 500
        assert (await again(stores)).next_at == record.next_at + 60
        [fire] = await stores.schedules.fires(1, "s", 10)
        assert (fire.scheduled_for, fire.outcome, fire.run_id) == (record.next_at, "run", found.run.run_id)
        assert not fire.manual

    async def test_a_second_time_it_is_over(self, stores: Stores) -> None:
        record = await overdue(stores)
        assert await fired(stores, record) is not None
        assert await fired(stores, record) is None
        assert (await stores.runs.statistics())["runs"] == {"queued": 1}

    async def test_many_at_once_make_one_run(self, stores: Stores) -> None:
        record = await overdue(stores)
        found = await asyncio.gather(*(fired(stores, record) for _ in range(8)))
        assert sum(entry is not None for entry in found) == 1
        assert (await stores.runs.statistics())["runs"] == {"queued": 1}

    async def test_one_that_is_not_due_does_nothing(self, stores: Stores) -> None:
        record = await made(stores)
        assert await fired(stores, record) is None
        assert (await stores.schedules.agenda(10)).due == []

    async def test_one_that_was_changed_or_paused_meanwhile_does_nothing(self, stores: Stores) -> None:
        record = await overdue(stores)
        await made(stores, Schedule("* * * * *", "f", inputs={"x": 1}))
        assert await fired(stores, record) is None
        changed = await again(stores)
        await stores.schedules.pause(1, "s", True)
        assert await fired(stores, changed) is None
        assert await fired(stores, await again(stores)) is None

    async def test_a_key_that_somebody_else_used_changes_nothing(self, stores: Stores) -> None:
        record = await overdue(stores)
        key = f"schedule:{record.schedule_id}:{record.next_at:.0f}"
        await stores.runs.create([new_run(idempotency_key=key, request_digest="another")])
        with pytest.raises(IdempotencyConflict):
            await fired(stores, record)
        assert await again(stores) == record
        found = await stores.schedules.fire(Firing(record, due(record), None, "its key was used"))
        assert found is not None
        assert found.outcome == "failed"
        assert [fire.detail for fire in await stores.schedules.fires(1, "s", 10)] == ["its key was used"]

    async def test_what_was_missed_is_written_down_once(self, stores: Stores) -> None:
        record = await overdue(stores)
        later = Due(record.next_at, record.next_at + 300, record.next_at + 360, record.next_at)
        found = await stores.schedules.fire(Firing(record, later, fire_run(record, record.next_at + 300)))
        assert found.outcome == "run"
        fires = await stores.schedules.fires(1, "s", 10)
        assert [(f.scheduled_for - record.next_at, f.outcome) for f in fires] == [(300, "run"), (0, "missed")]

    async def test_all_may_be_missed(self, stores: Stores) -> None:
        record = await overdue(stores)
        found = await stores.schedules.fire(
            Firing(record, Due(record.next_at, None, record.next_at + 900, record.next_at), None)
        )
        assert (found.outcome, found.run) == ("missed", None)
        assert (await again(stores)).next_at == record.next_at + 900
        assert (await stores.runs.statistics())["runs"] == {}


class TestOverlap:
    async def second(self, stores: Stores, overlap: Any) -> tuple[UUID, Any]:
        """The run of the first fire, and what came of the second, which met it."""
        record = await overdue(stores, Schedule("* * * * *", "f", overlap=overlap))
        first = (await fired(stores, record)).run.run_id
        return first, await fired(stores, await again(stores))

    async def test_allow_starts_another(self, stores: Stores) -> None:
        _, found = await self.second(stores, "allow")
        assert found.outcome == "run"
        assert (await stores.runs.statistics())["runs"] == {"queued": 2}

    async def test_skip_starts_none_until_it_has_ended(self, stores: Stores) -> None:
        first, found = await self.second(stores, "skip")
        assert (found.outcome, found.run) == ("skipped", None)
        [fire, _] = await stores.schedules.fires(1, "s", 10)
        assert str(first) in (fire.detail or "")
        await ended(stores, first)
        assert (await fired(stores, await again(stores))).outcome == "run"

    async def test_cancel_other_stops_it(self, stores: Stores) -> None:
        first, found = await self.second(stores, "cancel_other")
        assert (found.outcome, found.cancelled) == ("run", ((first, None),))
        assert (await stores.runs.get(1, first)).status is RunStatus.CANCELLED
        assert (await fired(stores, await again(stores))).cancelled == ((found.run.run_id, None),)

    async def test_who_holds_what_is_cancelled_is_told(self, stores: Stores) -> None:
        record = await overdue(stores, Schedule("* * * * *", "f", overlap="cancel_other"))
        first = (await fired(stores, record)).run.run_id
        worker_id = await worker(stores)
        await stores.queue.claim(worker_id, "default", 16)
        found = await fired(stores, await again(stores))
        assert found.cancelled == ((first, worker_id),)
        assert (await stores.runs.get(1, first)).cancel_requested

    async def test_queue_lets_one_wait_and_skips_the_rest(self, stores: Stores) -> None:
        first, found = await self.second(stores, "queue")
        assert found.outcome == "waits"
        waiting = await again(stores)
        assert waiting.waiting_for == waiting.next_at - 60
        assert (await fired(stores, waiting)).outcome == "skipped"
        agenda = await stores.schedules.agenda(10)
        assert agenda.waiting
        assert [entry.free for entry in agenda.due] == [False]
        waiting = await again(stores)
        held = Firing(waiting, None, fire_run(waiting, waiting.waiting_for))
        assert await stores.schedules.fire(held) is None
        await ended(stores, first)
        [entry] = (await stores.schedules.agenda(10)).due
        assert entry.free
        assert await fired(stores, waiting) is None, "the one that waits goes first"
        done = await stores.schedules.fire(held)
        assert done.outcome == "run"
        assert await stores.schedules.fire(held) is None
        after = await again(stores)
        assert (after.waiting_for, after.next_at) == (None, waiting.next_at)
        outcomes = [fire.outcome for fire in await stores.schedules.fires(1, "s", 10)]
        assert outcomes == ["skipped", "run", "run"]

    async def test_a_pause_lets_nothing_wait(self, stores: Stores) -> None:
        await self.second(stores, "queue")
        assert (await stores.schedules.pause(1, "s", True)).waiting_for is None
        assert [fire.outcome for fire in await stores.schedules.fires(1, "s", 10)] == ["skipped", "run"]


class TestPause:
    async def test_nothing_of_it_is_due(self, stores: Stores) -> None:
        await overdue(stores)
        paused = await stores.schedules.pause(1, "s", True)
        assert paused.paused
        assert (await stores.schedules.agenda(10)).due == []
        assert await stores.schedules.pause(1, "s", True) == paused

    async def test_after_it_what_would_have_been_is_not_made_up_for(self, stores: Stores) -> None:
        await overdue(stores)
        await stores.schedules.pause(1, "s", True)
        resumed = await stores.schedules.pause(1, "s", False)
        assert resumed.next_at > await stores.schedules.now()

    async def test_a_put_may_pause_and_resume(self, stores: Stores) -> None:
        await overdue(stores)
        assert (await made(stores, paused=True)).paused
        assert (await made(stores)).paused, "left out: as it is"
        resumed = await made(stores, paused=False)
        assert not resumed.paused
        assert resumed.next_at > await stores.schedules.now()


class TestAgenda:
    async def test_says_how_long_to_sleep(self, stores: Stores) -> None:
        assert (await stores.schedules.agenda(10)).seconds is None
        record = await made(stores)
        seconds = (await stores.schedules.agenda(10)).seconds
        assert seconds is not None
        assert abs(record.next_at - await stores.schedules.now() - seconds) < 1

    async def test_is_bounded(self, stores: Stores) -> None:
        for number in range(5):
            await overdue(stores)
            await stores.schedules.pause(1, "s", False)
            if stores.name == "memory":
                held = stores.schedules._rows.pop((1, "s"))
                held.record = dataclasses.replace(held.record, name=f"s{number}")
                stores.schedules._rows[1, f"s{number}"] = held
            else:
                async with stores.schedules._database.session() as connection:
                    await connection.execute("update schedule set name = $1 where name = 's'", f"s{number}")
        assert len((await stores.schedules.agenda(3)).due) == 3


class TestByHand:
    async def test_it_runs_beside_its_times(self, stores: Stores) -> None:
        record = await made(stores, YEARLY, paused=True)
        run = new_run(idempotency_key="once", request_digest="d")
        first = await stores.schedules.fire_now(record, run)
        second = await stores.schedules.fire_now(record, new_run(idempotency_key="once", request_digest="d"))
        assert (first.created, second.created, second.run_id) == (True, False, first.run_id)
        [fire] = await stores.schedules.fires(1, "s", 10)
        assert (fire.manual, fire.outcome, fire.run_id) == (True, "run", run.run_id)
        assert (await again(stores)).next_at == record.next_at

    async def test_it_is_an_earlier_run_to_the_next_fire(self, stores: Stores) -> None:
        record = await overdue(stores)
        await stores.schedules.fire_now(record, new_run())
        assert (await fired(stores, record)).outcome == "skipped"


class TestFires:
    async def test_the_latest_first_page_by_page(self, stores: Stores) -> None:
        record = await overdue(stores, Schedule("* * * * *", "f", overlap="allow"))
        for _ in range(3):
            await fired(stores, await again(stores))
        first = await stores.schedules.fires(1, "s", 2)
        rest = await stores.schedules.fires(1, "s", 2, first[-1].scheduled_for)
        assert [fire.scheduled_for - record.next_at for fire in [*first, *rest]] == [120, 60, 0]

    async def test_young_ones_are_kept(self, stores: Stores) -> None:
        record = await overdue(stores)
        await fired(stores, record)
        assert await stores.schedules.forget(1) == 0
        assert len(await stores.schedules.fires(1, "s", 10)) == 1

    async def test_of_a_run_that_was_made_elsewhere_nothing_is_known(self, stores: Stores) -> None:
        await claimed(stores, await worker(stores))
        assert (await stores.schedules.agenda(10)).due == []

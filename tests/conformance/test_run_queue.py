"""Leases, fenced claims, commits, the reaper, parking: what a worker may rely on."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from interplay.core.runs.events import EventKind, RunFailed, decode_body, encode_value
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import ClaimedRun, CommitBatch, OutcomeUnknown, Snapshot, ValueRefused, WaitRow
from tests.conformance.conftest import Stores, batch, claimed, new_id, new_run, row, worker


async def expired(stores: Stores) -> UUID:
    """A worker whose lease has run out."""
    worker_id = await worker(stores, 0.05)
    await asyncio.sleep(0.1)
    return worker_id


class TestLease:
    async def test_it_is_renewed_while_it_lasts(self, stores: Stores) -> None:
        assert (await stores.queue.renew(await worker(stores), 30.0)).alive

    async def test_it_is_not_renewed_once_it_is_over(self, stores: Stores) -> None:
        assert not (await stores.queue.renew(await expired(stores), 30.0)).alive

    async def test_a_worker_without_a_lease_claims_nothing(self, stores: Stores) -> None:
        await stores.runs.create([new_run()])
        assert await stores.queue.claim(await expired(stores), "default", 10) == []

    async def test_a_worker_without_a_lease_commits_nothing(self, stores: Stores) -> None:
        worker_id = await worker(stores, 0.2)
        run = await claimed(stores, worker_id)
        await asyncio.sleep(0.3)
        answer = await stores.queue.commit(worker_id, batch(run, row(run, 1)))
        assert not answer.alive
        assert await stores.runs.events(1, run.run_id) == []


class TestClaim:
    async def test_a_run_is_claimed_once(self, stores: Stores) -> None:
        first, second = await worker(stores), await worker(stores)
        await stores.runs.create([new_run() for _ in range(8)])
        both = await asyncio.gather(stores.queue.claim(first, "default", 8), stores.queue.claim(second, "default", 8))
        ids = [run.run_id for runs in both for run in runs]
        assert len(ids) == len(set(ids)) == 8

    async def test_it_tells_the_key_that_started_the_run(self, stores: Stores) -> None:
        key_id = new_id()
        await stores.runs.create([new_run(key_id=key_id), new_run()])
        claimed_runs = await stores.queue.claim(await worker(stores), "default", 2)
        assert sorted((run.key_id for run in claimed_runs), key=str) == sorted((key_id, None), key=str)

    async def test_priority_goes_before_age(self, stores: Stores) -> None:
        low, high = new_run(), new_run(priority=5)
        await stores.runs.create([low])
        await stores.runs.create([high])
        found = await stores.queue.claim(await worker(stores), "default", 2)
        assert [run.run_id for run in found] == [high.run_id, low.run_id]

    async def test_another_queue_is_left_alone(self, stores: Stores) -> None:
        await stores.runs.create([new_run(queue="gpu")])
        assert await stores.queue.claim(await worker(stores), "default", 2) == []

    async def test_each_claim_raises_the_fence(self, stores: Stores) -> None:
        first = await worker(stores)
        run = await claimed(stores, first)
        await stores.queue.retire(first)
        again = (await stores.queue.claim(await worker(stores), "default", 1))[0]
        assert again.fence > run.fence
        assert again.takeovers == 0


class TestTurns:
    """Projects beside each other: what one has queued does not make another wait for all of it."""

    async def test_one_run_does_not_wait_for_the_many_of_another_project(self, stores: Stores) -> None:
        late = new_run(project_id=2)
        await stores.runs.create([new_run() for _ in range(300)])
        await stores.runs.create([late])
        found = await stores.queue.claim(await worker(stores), "default", 16)
        assert len(found) == 16
        assert late.run_id in {run.run_id for run in found}

    async def test_a_higher_priority_of_another_project_does_not_keep_it_waiting(self, stores: Stores) -> None:
        low = new_run(project_id=2)
        await stores.runs.create([new_run(priority=9) for _ in range(40)])
        await stores.runs.create([low])
        found = await stores.queue.claim(await worker(stores), "default", 8)
        assert low.run_id in {run.run_id for run in found}

    async def test_many_projects_share_a_claim_alike(self, stores: Stores) -> None:
        for project in (1, 2, 3, 4):
            await stores.runs.create([new_run(project_id=project) for _ in range(40)])
        found = await stores.queue.claim(await worker(stores), "default", 32)
        assert Counter(run.project_id for run in found) == {1: 8, 2: 8, 3: 8, 4: 8}

    async def test_within_a_project_the_best_and_oldest_come_first(self, stores: Stores) -> None:
        runs = [new_run(project_id=project, priority=p) for p in (0, 5) for project in (1, 2) for _ in range(4)]
        await stores.runs.create(runs)
        found = await stores.queue.claim(await worker(stores), "default", 4)
        best = [run.run_id for project in (1, 2) for run in runs if (run.project_id, run.priority) == (project, 5)]
        assert {run.run_id for run in found} == {*best[:2], *best[4:6]}

    async def test_in_the_end_everything_is_claimed_once(self, stores: Stores) -> None:
        """More projects than one claim looks at, and some of them with more runs than others."""
        runs = [new_run(project_id=project) for project in range(1, 100) for _ in range(1 + project % 3)]
        await stores.runs.create(runs)
        worker_id = await worker(stores)
        found = []
        async with asyncio.timeout(30):
            while len(found) < len(runs):
                found += [run.run_id for run in await stores.queue.claim(worker_id, "default", 16)]
        assert sorted(found) == sorted(run.run_id for run in runs)


async def adopted_by(stores: Stores, worker_id: UUID, *known: UUID) -> list[ClaimedRun]:
    found: list[ClaimedRun] = await stores.queue.adopt(worker_id, await stores.queue.orphans(worker_id, known))
    return found


class TestAdoption:
    """A claim whose answer got lost: the worker owns runs that nobody told it of."""

    async def test_one_that_comes_late_leaves_alone_what_was_claimed_since(self, stores: Stores) -> None:
        """It was given up, and another look took the runs; then it is carried out after all."""
        worker_id = await worker(stores)
        await claimed(stores, worker_id)
        orphans = await stores.queue.orphans(worker_id, [])
        [adopted] = await stores.queue.adopt(worker_id, orphans)
        since = await claimed(stores, worker_id)
        assert await stores.queue.adopt(worker_id, orphans) == []
        for run in (adopted, since):
            answer = await stores.queue.commit(worker_id, batch(run, row(run, 1), status=RunStatus.SUCCEEDED))
            assert answer.changed == {run.run_id}

    async def test_what_the_worker_does_not_know_of_is_found_under_a_higher_fence(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        known, unknown = await claimed(stores, worker_id), await claimed(stores, worker_id)
        adopted = await adopted_by(stores, worker_id, known.run_id)
        assert [(run.run_id, run.fence) for run in adopted] == [(unknown.run_id, unknown.fence + 1)]

    async def test_the_claim_itself_can_end_nothing_any_more(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await adopted_by(stores, worker_id)
        answer = await stores.queue.commit(worker_id, batch(run, status=RunStatus.SUCCEEDED))
        assert answer.changed == frozenset()

    async def test_other_workers_runs_and_ended_ones_are_left_alone(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        ended = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(ended, row(ended, 1), status=RunStatus.SUCCEEDED))
        await claimed(stores, await worker(stores))
        assert await adopted_by(stores, worker_id) == []

    async def test_a_worker_without_a_lease_adopts_nothing(self, stores: Stores) -> None:
        worker_id = await worker(stores, 0.2)
        await claimed(stores, worker_id)
        await asyncio.sleep(0.3)
        assert await adopted_by(stores, worker_id) == []

    async def test_its_numbers_go_on_after_what_is_committed(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, row(run, 1)))
        assert (await adopted_by(stores, worker_id))[0].seq == 1


class TestOverdue:
    async def test_a_queued_run_past_its_deadline_fails_whoever_serves_its_pool(self, stores: Stores) -> None:
        late, fresh = new_run(queue="nobody", deadline=0.05), new_run(queue="nobody", deadline=60.0)
        await stores.runs.create([late, fresh])
        await asyncio.sleep(0.1)
        assert await stores.queue.end_overdue() == (late.run_id,)
        record = await stores.runs.get(1, late.run_id)
        assert (record.status, record.seq) == (RunStatus.FAILED, 1)
        event = (await stores.runs.events(1, late.run_id))[0]
        body = decode_body(event.kind, event.body)
        assert isinstance(body, RunFailed)
        assert body.failure.code == "deadline_exceeded"
        assert (await stores.runs.get(1, fresh.run_id)).status is RunStatus.QUEUED

    async def test_its_end_is_the_next_event_and_comes_once(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id, deadline=0.2)
        parked = batch(run, row(run, 1), status=RunStatus.QUEUED, queue="nobody")
        parked.waits.append(WaitRow(run.run_id, "ok", "approval", "approval:ok", None, b"\x80"))
        await stores.queue.commit(worker_id, parked)
        await asyncio.sleep(0.3)
        assert await stores.queue.end_overdue() == (run.run_id,)
        assert await stores.queue.end_overdue() == ()
        events = await stores.runs.events(1, run.run_id)
        assert [(event.seq, event.kind) for event in events] == [
            (1, EventKind.STEP_SUCCEEDED),
            (2, EventKind.RUN_FAILED),
        ]
        assert events[1].fence > run.fence
        assert await stores.runs.waiting(1, None, 10) == []

    async def test_a_run_in_a_workers_hands_is_left_to_it(self, stores: Stores) -> None:
        await claimed(stores, await worker(stores), deadline=0.05)
        await asyncio.sleep(0.1)
        assert await stores.queue.end_overdue() == ()


class TestCommit:
    async def test_a_value_that_can_never_be_kept_is_told_from_a_lost_answer(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        wanted = batch(run, row(run, 1))
        wanted.waits.append(WaitRow(run.run_id, "w", "timer", None, 1e18, b"\x80"))
        with pytest.raises(ValueRefused, match="out of"):
            await stores.queue.commit(worker_id, wanted)
        assert await stores.runs.events(1, run.run_id) == []

    async def test_rows_and_the_end_become_durable_together(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        wanted = batch(run, row(run, 1), status=RunStatus.SUCCEEDED, output=encode_value(7))
        answer = await stores.queue.commit(worker_id, wanted)
        assert answer.changed == {run.run_id}
        record = await stores.runs.get(1, run.run_id)
        assert (record.status, record.seq, record.output) == (RunStatus.SUCCEEDED, 1, encode_value(7))

    async def test_a_batch_sent_twice_is_there_once(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, row(run, 1)))
        assert (await stores.queue.commit(worker_id, batch(run, row(run, 1, output="other")), resend=True)).alive
        assert [event.body for event in await stores.runs.events(1, run.run_id)] == [row(run, 1).body]

    async def test_a_first_send_that_meets_its_own_events_writes_nothing(self, stores: Stores) -> None:
        """It was given up and sent again, and is carried out after that."""
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, row(run, 1)))
        with pytest.raises(OutcomeUnknown):
            await stores.queue.commit(worker_id, batch(run, row(run, 1), row(run, 2, "b")))
        assert len(await stores.runs.events(1, run.run_id)) == 1

    async def test_one_that_comes_late_lets_a_run_that_is_gone_wait_for_nothing(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        wanted = batch(run, row(run, 1))
        wanted.waits.append(WaitRow(run.run_id, "ok", "approval", "approval:ok", None, b"\x80"))
        await stores.queue.commit(worker_id, wanted)
        assert len(await stores.runs.waiting(1, None, 10)) == 1
        await stores.queue.commit(worker_id, batch(run, row(run, 2), status=RunStatus.SUCCEEDED))
        await stores.queue.commit(worker_id, wanted, resend=True)
        assert await stores.runs.waiting(1, None, 10) == []

    async def test_an_end_sent_twice_is_told_by_its_standing(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        wanted = batch(run, row(run, 1), status=RunStatus.SUCCEEDED)
        await stores.queue.commit(worker_id, wanted)
        again = await stores.queue.commit(worker_id, wanted, resend=True)
        assert again.changed == frozenset()
        standing = (await stores.queue.standing([run.run_id]))[run.run_id]
        assert (standing.status, standing.fence) == (RunStatus.SUCCEEDED, run.fence)

    async def test_a_change_under_an_old_fence_is_not_made(self, stores: Stores) -> None:
        first, second = await worker(stores), await worker(stores)
        old = await claimed(stores, first)
        await stores.queue.retire(first)
        await stores.queue.claim(second, "default", 1)
        answer = await stores.queue.commit(second, batch(old, status=RunStatus.SUCCEEDED))
        assert answer.changed == frozenset()

    async def test_a_run_can_go_to_another_queue(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, status=RunStatus.QUEUED, queue="gpu"))
        found = await stores.queue.claim(worker_id, "gpu", 1)
        assert [entry.run_id for entry in found] == [run.run_id]


class TestParking:
    async def test_a_timer_wakes_it(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, status=RunStatus.WAITING, ready_at=1.0))
        assert await stores.queue.wake_due(10) == 1
        assert [r.run_id for r in await stores.queue.claim(worker_id, "default", 1)] == [run.run_id]

    async def test_without_a_time_only_a_signal_wakes_it(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, status=RunStatus.WAITING))
        assert await stores.queue.wake_due(10) == 0
        await stores.runs.signal(1, run.run_id, new_id(), "go", b"\xc0")
        found = await stores.queue.claim(worker_id, "default", 1)
        assert (found[0].run_id, found[0].sig) == (run.run_id, 1)

    async def test_a_signal_that_came_first_refuses_it(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.runs.signal(1, run.run_id, new_id(), "go", b"\xc0")
        answer = await stores.queue.commit(worker_id, batch(run, status=RunStatus.WAITING, sig=run.sig))
        assert answer.changed == frozenset()
        assert (await stores.queue.standing([run.run_id]))[run.run_id].sig == 1

    async def test_a_cancel_that_came_first_refuses_it(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.runs.cancel(1, run.run_id, "enough")
        answer = await stores.queue.commit(worker_id, batch(run, status=RunStatus.WAITING))
        assert answer.changed == frozenset()
        assert (await stores.queue.renew(worker_id, 30.0)).cancelled == (run.run_id,)

    async def test_what_it_waits_for_is_listed_until_it_is_over(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        wait = WaitRow(run.run_id, "ok", "approval", "approval:ok", None, b"\x80")
        await stores.queue.commit(worker_id, CommitBatch(waits=[wait]))
        assert [entry.step_key for entry in await stores.runs.waiting(1, "approval", 10)] == ["ok"]
        await stores.queue.commit(worker_id, CommitBatch(waits_over=[(run.run_id, "ok")]))
        assert await stores.runs.waiting(1, None, 10) == []

    async def test_what_is_waited_for_is_listed_by_deadline_page_by_page(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        due = {"late": 2000.25, "soon": 1000.000001, "also": 1000.000001, "never": None, "ever": None}
        waits = [WaitRow(run.run_id, step, "approval", None, at, b"\x80") for step, at in due.items()]
        await stores.queue.commit(worker_id, CommitBatch(waits=waits))
        seen: list[str] = []
        after = None
        while page := await stores.runs.waiting(1, "approval", 2, after=after):
            seen += [entry.step_key for entry in page]
            after = page[-1].place
        assert seen == ["also", "soon", "late", "ever", "never"]


class TestReaper:
    async def test_runs_of_a_dead_worker_go_back_and_keep_their_numbers(self, stores: Stores) -> None:
        worker_id = await worker(stores, 0.3)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, row(run, 1), row(run, 2, "b")))
        await asyncio.sleep(0.4)
        reaped = await stores.queue.reap(0.01, 5)
        assert (reaped.workers, reaped.requeued) == ((worker_id,), (run.run_id,))
        again = (await stores.queue.claim(await worker(stores), "default", 1))[0]
        assert (again.seq, again.takeovers) == (2, 1)
        assert again.fence > run.fence

    async def test_a_live_worker_is_left_alone(self, stores: Stores) -> None:
        await claimed(stores, await worker(stores))
        assert (await stores.queue.reap(0.01, 5)).workers == ()

    async def test_past_its_budget_a_run_is_dead_and_can_be_redriven(self, stores: Stores) -> None:
        worker_id = await worker(stores, 0.6)  # a first claim opens its connection, on a busy machine slowly
        run = await claimed(stores, worker_id)
        await asyncio.sleep(0.7)
        assert (await stores.queue.reap(0.01, 0)).died == (run.run_id,)
        record = await stores.runs.get(1, run.run_id)
        assert record.status is RunStatus.DEAD
        kinds = [event.kind for event in await stores.runs.events(1, run.run_id)]
        assert kinds == [EventKind.RUN_DIED]
        assert (await stores.runs.redrive(1, run.run_id, "me")).status is RunStatus.QUEUED
        found = await stores.queue.claim(await worker(stores), "default", 1)
        assert (found[0].seq, found[0].takeovers) == (2, 0)


class TestHistory:
    async def test_a_snapshot_stands_for_what_came_before_it(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, row(run, 1), row(run, 2, "b")))
        await stores.queue.put_snapshot(worker_id, run, Snapshot(1, b"short"))
        history = (await stores.queue.history([run]))[run.run_id]
        assert history.snapshot == Snapshot(1, b"short")
        assert [event.seq for event in history.events] == [2]

    async def test_a_worker_that_lost_the_run_leaves_no_snapshot(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.retire(worker_id)
        await stores.queue.put_snapshot(worker_id, run, Snapshot(1, b"late"))
        assert (await stores.queue.history([run]))[run.run_id].snapshot is None

"""Runs as callers see them."""

from __future__ import annotations

import asyncio

import pytest

from interplay.core.errors import Conflict, IdempotencyConflict, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import EventKind, StepSucceeded, encode_body
from interplay.core.runs.status import RunStatus
from interplay.ports.run_store import RunFilter
from tests.conformance.conftest import Stores, batch, claimed, new_id, new_run, row, worker


class TestCreate:
    async def test_many_at_once_are_all_there(self, stores: Stores) -> None:
        made = await stores.runs.create([new_run() for _ in range(500)])
        assert all(entry.created for entry in made)
        assert (await stores.runs.statistics())["runs"] == {"queued": 500}

    async def test_the_same_key_gives_the_same_run(self, stores: Stores) -> None:
        first = (await stores.runs.create([new_run(idempotency_key="k", request_digest="d")]))[0]
        second = (await stores.runs.create([new_run(idempotency_key="k", request_digest="d")]))[0]
        assert (second.run_id, second.created) == (first.run_id, False)

    async def test_the_same_key_at_the_same_time_makes_one_run(self, stores: Stores) -> None:
        runs = [new_run(idempotency_key="k", request_digest="d") for _ in range(8)]
        made = await asyncio.gather(*(stores.runs.create([run]) for run in runs))
        assert len({entry[0].run_id for entry in made}) == 1
        assert sum(entry[0].created for entry in made) == 1

    async def test_the_same_key_for_another_request_is_refused(self, stores: Stores) -> None:
        await stores.runs.create([new_run(idempotency_key="k", request_digest="d")])
        with pytest.raises(IdempotencyConflict):
            await stores.runs.create([new_run(idempotency_key="k", request_digest="other")])

    async def test_a_fork_begins_with_its_journal(self, stores: Stores) -> None:
        body = encode_body(StepSucceeded(1, 1.0, 0.0))
        run = new_run(journal=((int(EventKind.STEP_SUCCEEDED), "a", 1, body),), forked_from=new_id())
        await stores.runs.create([run])
        assert [event.step_key for event in await stores.runs.events(1, run.run_id)] == ["a"]
        assert (await stores.runs.get(1, run.run_id)).seq == 1


class TestProjects:
    async def test_a_run_of_another_project_is_not_there(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        for work in (
            stores.runs.get(2, run.run_id),
            stores.runs.events(2, run.run_id),
            stores.runs.cancel(2, run.run_id, "x"),
            stores.runs.signal(2, run.run_id, new_id(), "go", b"\xc0"),
        ):
            with pytest.raises(NotFound):
                await work
        assert await stores.runs.page(2, RunFilter(), 10) == []


class TestPage:
    async def test_newest_first_page_by_page(self, stores: Stores) -> None:
        runs = [new_run() for _ in range(5)]
        await stores.runs.create(runs)
        newest = sorted((run.run_id for run in runs), reverse=True)
        first = await stores.runs.page(1, RunFilter(), 3)
        rest = await stores.runs.page(1, RunFilter(), 3, first[-1].run_id)
        assert [record.run_id for record in [*first, *rest]] == newest

    async def test_filters_narrow_it(self, stores: Stores) -> None:
        await stores.runs.create([new_run(), new_run(flow_name="g", labels={"team": "a"})])
        assert len(await stores.runs.page(1, RunFilter(flow_name="g"), 10)) == 1
        assert len(await stores.runs.page(1, RunFilter(labels={"team": "a"}), 10)) == 1
        assert len(await stores.runs.page(1, RunFilter(status=(RunStatus.FAILED,)), 10)) == 0


class TestCancel:
    async def test_a_run_that_nobody_holds_ends_at_once(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        assert (await stores.runs.cancel(1, run.run_id, "no")).status is RunStatus.CANCELLED
        kinds = [event.kind for event in await stores.runs.events(1, run.run_id)]
        assert kinds == [EventKind.RUN_CANCELLED]

    async def test_a_finished_run_stays_finished(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, batch(run, row(run, 1), status=RunStatus.SUCCEEDED))
        assert (await stores.runs.cancel(1, run.run_id, "late")).status is RunStatus.SUCCEEDED

    async def test_twice_is_once(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        await stores.runs.cancel(1, run.run_id, "no")
        await stores.runs.cancel(1, run.run_id, "no")
        assert len(await stores.runs.events(1, run.run_id)) == 1


class TestSignal:
    async def test_the_same_id_counts_once(self, stores: Stores) -> None:
        run, signal_id = new_run(), new_id()
        await stores.runs.create([run])
        assert await stores.runs.signal(1, run.run_id, signal_id, "go", b"\x01")
        assert not await stores.runs.signal(1, run.run_id, signal_id, "go", b"\x01")
        assert [entry[1] for entry in await stores.runs.signals(1, run.run_id)] == ["go"]

    async def test_an_ended_run_takes_none(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        await stores.runs.cancel(1, run.run_id, "no")
        with pytest.raises(Conflict):
            await stores.runs.signal(1, run.run_id, new_id(), "go", b"\x01")


class TestRedrive:
    async def test_only_a_dead_run_can_be_redriven(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        with pytest.raises(Conflict):
            await stores.runs.redrive(1, run.run_id, "me")


class TestBatch:
    async def test_it_is_counted_by_status(self, stores: Stores) -> None:
        batch_id = derived_uuid("b")
        await stores.runs.create([new_run(batch_id=batch_id) for _ in range(3)])
        counts = await stores.runs.batch(1, batch_id)
        assert (counts.total, counts.by_status) == (3, {RunStatus.QUEUED: 3})

    async def test_an_unknown_one_is_not_found(self, stores: Stores) -> None:
        with pytest.raises(NotFound):
            await stores.runs.batch(1, new_id())

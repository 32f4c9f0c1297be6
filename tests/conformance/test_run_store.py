"""Runs as callers see them."""

from __future__ import annotations

import asyncio
import dataclasses
from uuid import UUID

import pytest

from interplay.core.errors import Conflict, IdempotencyConflict, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import EventKind, StepSucceeded, encode_body
from interplay.core.runs.status import RunStatus
from interplay.ports.run_store import RequestKey, RunFilter
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

    async def test_the_same_keys_in_opposite_orders_at_the_same_time_hold_nobody_up(self, stores: Stores) -> None:
        for turn in range(3):
            keys = [f"{turn}-{number}" for number in range(3000)]
            there, back = (
                [new_run(idempotency_key=key, request_digest="d") for key in order] for order in (keys, keys[::-1])
            )
            one, other = await asyncio.gather(stores.runs.create(there), stores.runs.create(back))
            assert [entry.run_id for entry in one] == [entry.run_id for entry in other[::-1]]

    async def test_the_same_key_for_another_request_is_refused(self, stores: Stores) -> None:
        await stores.runs.create([new_run(idempotency_key="k", request_digest="d")])
        with pytest.raises(IdempotencyConflict):
            await stores.runs.create([new_run(idempotency_key="k", request_digest="other")])

    async def test_the_key_of_a_request_for_many_holds_all_of_it(self, stores: Stores) -> None:
        one, other = new_run(idempotency_key="1", request_digest="d"), new_run()
        key = RequestKey(1, "whole", "d")
        made = await stores.runs.create([one, other], key)
        again = await stores.runs.create([new_run(idempotency_key="1", request_digest="d")], key)
        assert (again[0].run_id, made[0].created) == (one.run_id, True)
        with pytest.raises(IdempotencyConflict, match="whole"):
            await stores.runs.create([new_run()], RequestKey(1, "whole", "other"))
        assert (await stores.runs.statistics())["runs"] == {"queued": 2}
        await stores.runs.create([new_run(project_id=2)], RequestKey(2, "whole", "other"))

    async def test_a_fork_begins_with_its_journal(self, stores: Stores) -> None:
        body = encode_body(StepSucceeded(1, 1.0, 0.0))
        run = new_run(journal=((int(EventKind.STEP_SUCCEEDED), "a", 1, body),), forked_from=new_id())
        await stores.runs.create([run])
        assert [event.step_key for event in await stores.runs.events(1, run.run_id)] == ["a"]
        assert (await stores.runs.get(1, run.run_id)).seq == 1

    async def test_a_fork_gets_large_values_of_its_own(self, stores: Stores) -> None:
        parent, run = new_run(), new_run(journal=((int(EventKind.STEP_SKIPPED), "a", 1, b"\x90"),))
        old, own = f"{parent.run_id}:a", f"{run.run_id}:a"
        await stores.runs.create([parent])
        await stores.blobs.put(parent.run_id, old, b"x" * 2_000_000)
        await stores.runs.create([dataclasses.replace(run, blobs=((old, own),))])
        assert await stores.blobs.get(own) == b"x" * 2_000_000

    async def test_a_fork_whose_large_values_are_gone_is_not_made(self, stores: Stores) -> None:
        run = new_run(journal=((int(EventKind.STEP_SKIPPED), "a", 1, b"\x90"),), blobs=(("gone:a", "own:a"),))
        with pytest.raises(NotFound, match="large value"):
            await stores.runs.create([run])
        with pytest.raises(NotFound):
            await stores.runs.get(1, run.run_id)

    async def test_what_was_written_is_in_the_answer(self, stores: Stores) -> None:
        new = new_run(deadline=60.0, labels={"a": "b"}, key_id=new_id(), idempotency_key="k", request_digest="d")
        made = (await stores.runs.create([new]))[0]
        assert made.record is not None
        assert made.record == await stores.runs.get(1, new.run_id)
        assert made.record.key_id == new.key_id
        assert (await stores.runs.create([new_run(idempotency_key="k", request_digest="d")]))[0].record is None


class TestFind:
    async def test_a_beginning_finds_the_run_that_alone_has_it(self, stores: Stores) -> None:
        ids = [UUID(f"0190aaaa-{n}000-7000-8000-00000000000{n}") for n in range(3)]
        await stores.runs.create([new_run(run_id=run_id) for run_id in ids])
        assert await stores.runs.find(1, "0190aaaa1") == ids[1]
        assert await stores.runs.find(1, "0190aaaa1000700080000000000000") == ids[1]
        with pytest.raises(Conflict, match=str(ids[2])):
            await stores.runs.find(1, "0190aaaa")
        with pytest.raises(NotFound):
            await stores.runs.find(1, "0190aaab")

    async def test_another_projects_runs_are_not_among_them(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        with pytest.raises(NotFound):
            await stores.runs.find(2, run.run_id.hex[:12])


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
        assert (await stores.runs.signal(1, run.run_id, signal_id, "go", b"\x01")).fresh
        assert not (await stores.runs.signal(1, run.run_id, signal_id, "go", b"\x01")).fresh
        assert [entry[1] for entry in await stores.runs.signals(1, run.run_id)] == ["go"]

    async def test_a_run_takes_so_many_signals_and_decisions_always(
        self, stores: Stores, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("postgres", "memory"):
            monkeypatch.setattr(f"interplay.adapters.{module}.run_store.MOST_SIGNALS", 2)
        run, first = new_run(), new_id()
        await stores.runs.create([run])
        await stores.runs.signal(1, run.run_id, first, "go", b"\x01")
        await stores.runs.signal(1, run.run_id, new_id(), "go", b"\x01")
        with pytest.raises(Conflict, match="takes no more"):
            await stores.runs.signal(1, run.run_id, new_id(), "go", b"\x01")
        assert not (await stores.runs.signal(1, run.run_id, first, "go", b"\x01")).fresh
        assert (await stores.runs.signal(1, run.run_id, new_id(), "approval:ok", b"\x01")).fresh

    async def test_it_says_whom_to_tell(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        left = await stores.runs.signal(1, run.run_id, new_id(), "go", b"\x01")
        assert (left.worker_id, left.queue) == (None, "default")
        worker_id = await worker(stores)
        await claimed(stores, worker_id)
        left = await stores.runs.signal(1, run.run_id, new_id(), "go", b"\x01")
        assert left.worker_id == worker_id

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

    async def test_they_are_listed_newest_first_page_by_page(self, stores: Stores) -> None:
        ids = [derived_uuid("b", str(n)) for n in range(3)]
        for batch_id in ids:
            await stores.runs.create([new_run(batch_id=batch_id), new_run(batch_id=batch_id), new_run()])
            await asyncio.sleep(0.002)  # the times that they are ordered by
        await stores.runs.create([new_run(batch_id=ids[0], project_id=2)])
        first = await stores.runs.batches(1, 2)
        rest = await stores.runs.batches(1, 2, (first[-1].created_at, first[-1].counts.batch_id))
        assert [entry.counts.batch_id for entry in [*first, *rest]] == ids[::-1]
        assert (first[0].counts.total, first[0].counts.by_status) == (2, {RunStatus.QUEUED: 2})
        assert first[0].flow_name == (await stores.runs.page(1, RunFilter(batch_id=ids[2]), 1))[0].flow_name

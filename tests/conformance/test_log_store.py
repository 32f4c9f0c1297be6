"""What the ledger knows of the event log: which events are still to be published."""

from __future__ import annotations

from uuid import UUID

from interplay.core.runs.events import EventKind, RunSucceeded, encode_body, encode_value
from interplay.core.runs.log import LoggedEvent
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import ClaimedRun, CommitBatch, JournalRow, RunChange
from tests.conformance.conftest import VERSION, Stores, claimed, new_id, new_run, row, worker


async def ended(stores: Stores, steps: int = 2) -> ClaimedRun:
    """A run with so many results and its end."""
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    rows = [row(run, seq, f"s{seq}", {"n": seq}) for seq in range(1, steps + 1)]
    last = steps + 1
    rows.append(JournalRow(run.run_id, run.shelf, last, EventKind.RUN_SUCCEEDED, None, 0, run.fence, _SUCCEEDED))
    change = RunChange(run.run_id, run.fence, RunStatus.SUCCEEDED, last, output=encode_value({"done": True}))
    answer = await stores.queue.commit(worker_id, CommitBatch(rows, [change]))
    assert answer.changed == {run.run_id}
    return run


_SUCCEEDED = encode_body(RunSucceeded(0.5))


async def places(stores: Stores) -> dict[UUID, tuple[int, int]]:
    return {one.run.run_id: (one.published, one.seq) for one in await stores.log.unpublished(100)}


class TestUnpublished:
    async def test_a_run_that_ended_is_among_them_until_it_is_marked(self, stores: Stores) -> None:
        run = await ended(stores)
        assert await places(stores) == {run.run_id: (0, 3)}
        assert await stores.log.mark({run.run_id: 2}) == {run.run_id}
        assert await places(stores) == {run.run_id: (2, 3)}
        assert await stores.log.mark({run.run_id: 3}) == {run.run_id}
        assert await places(stores) == {}

    async def test_it_says_whose_they_are(self, stores: Stores) -> None:
        run = await ended(stores)
        (one,) = await stores.log.unpublished(10)
        assert (one.run.run_id, one.run.project_id, one.run.flow, one.run.version) == (run.run_id, 1, "f", VERSION)

    async def test_a_run_that_waits_is_among_them(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        change = RunChange(run.run_id, run.fence, RunStatus.WAITING, 1)
        await stores.queue.commit(worker_id, CommitBatch([row(run, 1)], [change]))
        assert await places(stores) == {run.run_id: (0, 1)}

    async def test_one_that_is_executed_is_its_owners(self, stores: Stores) -> None:
        worker_id = await worker(stores)
        run = await claimed(stores, worker_id)
        await stores.queue.commit(worker_id, CommitBatch([row(run, 1)]))
        assert await places(stores) == {}

    async def test_one_that_is_cancelled_before_it_began_is_among_them(self, stores: Stores) -> None:
        run = new_run()
        await stores.runs.create([run])
        await stores.runs.cancel(1, run.run_id, "no")
        assert await places(stores) == {run.run_id: (0, 1)}

    async def test_no_more_than_asked_for(self, stores: Stores) -> None:
        for _ in range(3):
            await ended(stores)
        assert len(await stores.log.unpublished(2)) == 2


class TestMarks:
    async def test_one_that_is_behind_changes_nothing(self, stores: Stores) -> None:
        run = await ended(stores)
        await stores.log.mark({run.run_id: 3})
        assert await stores.log.mark({run.run_id: 1, new_id(): 5}) == frozenset()
        assert await places(stores) == {}

    async def test_the_next_owner_is_told_of_it(self, stores: Stores) -> None:
        first = await worker(stores)
        run = await claimed(stores, first)
        assert (run.published, run.flow_name) == (0, "f")
        await stores.queue.commit(first, CommitBatch([row(run, 1), row(run, 2)]))
        await stores.log.mark({run.run_id: 1})
        await stores.queue.retire(first)
        (again,) = await stores.queue.claim(await worker(stores), "default", 1)
        assert (again.run_id, again.published, again.seq) == (run.run_id, 1, 2)


class TestEvents:
    async def test_they_come_in_order_with_the_output_at_the_end(self, stores: Stores) -> None:
        run = await ended(stores)
        found: list[LoggedEvent] = await stores.log.events({run.run_id: 0}, 100)
        assert [event.seq for event in found] == [1, 2, 3]
        assert [event.step for event in found] == ["s1", "s2", None]
        assert found[1].facts["output"] == {"n": 2}
        assert found[2].facts == {"seconds": 0.5, "output": {"done": True}}
        assert {event.project_id for event in found} == {1}

    async def test_from_a_place_on_and_so_many_of_each(self, stores: Stores) -> None:
        one, other = await ended(stores, 5), await ended(stores, 5)
        found: list[LoggedEvent] = await stores.log.events({one.run_id: 1, other.run_id: 4}, 3)
        assert [(event.run_id, event.seq) for event in sorted(found, key=lambda e: (str(e.run_id), e.seq))] == sorted(
            [*((one.run_id, seq) for seq in (2, 3, 4)), *((other.run_id, seq) for seq in (5, 6))],
            key=lambda place: (str(place[0]), place[1]),
        )

    async def test_a_run_that_is_gone_has_none(self, stores: Stores) -> None:
        assert await stores.log.events({new_id(): 0}, 10) == []

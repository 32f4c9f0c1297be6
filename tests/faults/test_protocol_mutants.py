"""Directed interleavings of the protocol, and mutants of it that each must be caught by one of them.

A checker that never fails proves nothing: each scenario holds for the statements as they are, and fails
for a statement with one thing taken out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

import asyncpg
import pytest

from interplay.adapters.postgres import engine_sql, run_sql
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schema import migrate
from interplay.core.errors import Unavailable
from interplay.core.runs.events import EventKind, RunSucceeded, encode_body
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import (
    ClaimedRun,
    CommitAnswer,
    CommitBatch,
    JournalRow,
    OutcomeUnknown,
    RunChange,
    Standing,
    WaitRow,
)
from interplay.use_cases.group_commit import CommitItem, GroupCommitter, Verdict
from tests.conformance.conftest import Stores, batch, claimed, new_id, row, worker
from tests.faults.invariants import violations

Scenario = Callable[[Stores, str], Awaitable[bool]]


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[tuple[Stores, str]]:
    await migrate(database_url)
    database = Database(database_url)
    await Maintenance(database).ensure_shelves()
    nothing: Any = None
    queue = PostgresRunQueue(database)
    yield Stores("postgres", queue, PostgresRunStore(database), *([nothing] * (len(fields(Stores)) - 3))), database_url
    await queue.close()
    await database.close()


# ---------------------------------------------------------------------- scenarios: True when the protocol held


async def commit_during_reap(stores: Stores, url: str) -> bool:
    """A commit that passed the lease check, then stalls: the reaper must wait for it, or it must write nothing."""
    worker_id = await worker(stores, 0.4)
    run = await claimed(stores, worker_id)
    connection = await asyncpg.connect(url)
    statement = engine_sql.commit(changes=False, waits=False, waits_over=False, resend=False)
    transaction = connection.transaction()
    await transaction.start()
    await connection.fetchrow(statement, worker_id, *_columns(batch(run, row(run, 1))))
    await asyncio.sleep(0.5)
    reaped = await stores.queue.reap(0.01, 5)
    await transaction.commit()
    await connection.close()
    if not reaped.workers:
        return True  # it waits: the commit came first
    again = (await stores.queue.claim(await worker(stores), "default", 1))[0]
    return again.seq == 1


async def commit_after_lease(stores: Stores, url: str) -> bool:
    """A lease that is over writes nothing, even when nobody has reaped the worker yet."""
    worker_id = await worker(stores, 0.1)
    run = await claimed(stores, worker_id)
    await asyncio.sleep(0.2)
    answer = await stores.queue.commit(worker_id, batch(run, row(run, 1)))
    return not answer.alive and await stores.runs.events(1, run.run_id) == []


async def finish_under_old_fence(stores: Stores, url: str) -> bool:
    """The same worker id holds the run again under a newer fence: the older task must not end it."""
    worker_id = await worker(stores)
    old = await claimed(stores, worker_id)
    await stores.queue.commit(worker_id, batch(old, status=RunStatus.QUEUED))
    await stores.queue.claim(worker_id, "default", 1)
    answer = await stores.queue.commit(worker_id, batch(old, status=RunStatus.SUCCEEDED))
    return answer.changed == frozenset()


async def finish_of_another_workers_run(stores: Stores, url: str) -> bool:
    """A fence number alone is not enough: another worker's run may have it, too."""
    first, second = await worker(stores), await worker(stores)
    run = await claimed(stores, first)
    answer = await stores.queue.commit(second, batch(run, status=RunStatus.SUCCEEDED))
    return answer.changed == frozenset()


async def numbers_after_reap(stores: Stores, url: str) -> bool:
    """The next owner goes on counting after what is committed."""
    worker_id = await worker(stores, 0.3)
    run = await claimed(stores, worker_id)
    await stores.queue.commit(worker_id, batch(run, row(run, 1)))
    await asyncio.sleep(0.4)
    await stores.queue.reap(0.01, 5)
    again = (await stores.queue.claim(await worker(stores), "default", 1))[0]
    return again.seq == 1


async def signal_while_parking(stores: Stores, url: str) -> bool:
    """A signal between the look and the park: parking is refused."""
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    await stores.runs.signal(1, run.run_id, new_id(), "go", b"\xc0")
    answer = await stores.queue.commit(worker_id, batch(run, status=RunStatus.WAITING, sig=run.sig))
    return answer.changed == frozenset()


async def cancel_while_parking(stores: Stores, url: str) -> bool:
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    await stores.runs.cancel(1, run.run_id, "no")
    answer = await stores.queue.commit(worker_id, batch(run, status=RunStatus.WAITING))
    return answer.changed == frozenset()


async def resend_after_lost_answer(stores: Stores, url: str) -> bool:
    """The same batch again: each row is there once."""
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    wanted = batch(run, row(run, 1), row(run, 2, "b"))
    await stores.queue.commit(worker_id, wanted)
    try:
        await stores.queue.commit(worker_id, wanted, resend=True)
    except OutcomeUnknown:
        return False
    return len(await stores.runs.events(1, run.run_id)) == 2 and "I4 a journal has gaps" not in await violations(url)


async def end_by_a_claim_that_nobody_heard_of(stores: Stores, url: str) -> bool:
    """A claim whose answer got lost is adopted: what still believes in that claim must not end the run."""
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    await stores.queue.adopt(worker_id, await stores.queue.orphans(worker_id, []))
    answer = await stores.queue.commit(worker_id, batch(run, status=RunStatus.SUCCEEDED))
    return answer.changed == frozenset()


async def cancel_at_finish(stores: Stores, url: str) -> bool:
    """A cancel at the moment of the run's end, on another connection: whichever comes first, the end is one, and the
    owner's. A cancel that came too late says nothing."""
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    connection = await asyncpg.connect(url)
    transaction = connection.transaction()
    await transaction.start()
    statement = engine_sql.commit(changes=True, waits=False, waits_over=False, resend=False)
    end = _end_of(run)
    await connection.fetchrow(statement, worker_id, *_columns(end), *_change_columns(end))
    cancelling = asyncio.create_task(stores.runs.cancel(1, run.run_id, "too late"))
    await _until_somebody_waits(url)
    await transaction.commit()
    await connection.close()
    late = await cancelling
    earlier = await claimed(stores, worker_id)
    await stores.runs.cancel(1, earlier.run_id, "in time, and heard of too late")
    try:
        answer = await stores.queue.commit(worker_id, _end_of(earlier))
    except OutcomeUnknown:
        return False
    first = await stores.runs.get(1, earlier.run_id)
    return (
        (late.status, late.cancel_requested) == (RunStatus.SUCCEEDED, False)
        and (first.status, first.cancel_requested) == (RunStatus.SUCCEEDED, True)
        and answer.changed == {earlier.run_id}
        and "I4" not in " ".join(await violations(url))
    )


def _end_of(run: ClaimedRun) -> CommitBatch:
    body = encode_body(RunSucceeded(1.0))
    end = JournalRow(run.run_id, run.shelf, 1, EventKind.RUN_SUCCEEDED, None, 0, run.fence, body)
    return CommitBatch([end], [RunChange(run.run_id, run.fence, RunStatus.SUCCEEDED, 1)])


async def _until_somebody_waits(url: str) -> None:
    """Returns once a statement of this database waits for a lock of another."""
    connection = await asyncpg.connect(url)
    async with asyncio.timeout(20):
        while not await connection.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        ):
            await asyncio.sleep(0.01)
    await connection.close()


async def end_whose_answer_got_lost(stores: Stores, url: str) -> bool:
    """The run's end is durable, its answer is not heard: sent again it changes nothing, and still counts as done."""
    worker_id = await worker(stores)
    run = await claimed(stores, worker_id)
    queue, verdicts = _FirstAnswerLost(stores.queue), []
    committer = GroupCommitter(queue, worker_id, 30.0, lambda: None)  # type: ignore[arg-type]
    task = asyncio.create_task(committer.run())
    end = _end_of(run)
    committer.put(CommitItem(run.run_id, end.rows, lambda verdict, _: verdicts.append(verdict), end.changes[0]))
    await committer.settled()
    task.cancel()
    return verdicts == [Verdict.DONE]


class _FirstAnswerLost:
    """The real queue, whose first answer to a commit does not come back."""

    def __init__(self, queue: PostgresRunQueue) -> None:
        self._queue = queue
        self._lost = False
        self.renew, self.standing = queue.renew, queue.standing

    async def commit(self, worker_id: Any, wanted: CommitBatch, resend: bool = False) -> CommitAnswer:
        answer = await self._queue.commit(worker_id, wanted, resend)
        if not self._lost:
            self._lost = True
            raise OutcomeUnknown("The answer to a commit got lost.")
        return answer


async def number_of_an_overdue_end(stores: Stores, url: str) -> bool:
    """A run that ends unclaimed at its deadline: its end is the next event, and the run knows the number."""
    run = await claimed(stores, worker_id := await worker(stores), deadline=0.05)
    await stores.queue.commit(worker_id, batch(run, row(run, 1), status=RunStatus.QUEUED, queue="nobody"))
    await asyncio.sleep(0.1)
    try:
        await stores.queue.end_overdue()
    except Unavailable:
        return False
    events = await stores.runs.events(1, run.run_id)
    return [event.seq for event in events] == [1, 2] and "I4" not in " ".join(await violations(url))


def _columns(wanted: CommitBatch) -> list[list[Any]]:
    rows = wanted.rows
    names = ("shelf", "run_id", "seq", "kind", "step_key", "attempt", "fence", "body")
    return [[getattr(entry, name) for entry in rows] for name in names]


def _change_columns(wanted: CommitBatch) -> list[list[Any]]:
    names = ("run_id", "fence", "status", "seq", "sig", "ready_at", "queue", "output", "error")
    return [[getattr(change, name) for change in wanted.changes] for name in names]


# ---------------------------------------------------------------------- mutants: what is taken out, who sees it

MUTANTS: dict[str, tuple[str, str, str, Scenario]] = {
    "lease predicate without its lock": ("_ME", " for key share", "", commit_during_reap),
    "no lease check": ("_ME", " and lease_until > clock_timestamp()", "", commit_after_lease),
    "no fence check": ("commit", "r.fence = t.f and ", "", finish_under_old_fence),
    "task not bound to the worker id of its claim": (
        "commit",
        "coalesce(r.worker_id = $1, false) and ",
        "",
        finish_of_another_workers_run,
    ),
    "sequence not set by the reaper": (
        "REAP_RUNS",
        "seq = coalesce((select max(j.seq) from journal j where j.shelf = run.shelf and j.run_id = run.run_id), seq)",
        "seq = seq",
        numbers_after_reap,
    ),
    "signal lost while parking": ("commit", "r.sig = t.sig and ", "", signal_while_parking),
    "cancel lost while parking": ("commit", " and r.cancel_at is null", "", cancel_while_parking),
    "adopted under the fence of the lost claim": (
        "ADOPT",
        "fence = r.fence + 1",
        "fence = r.fence",
        end_by_a_claim_that_nobody_heard_of,
    ),
    "overdue end without a number of its own": ("END_OVERDUE", "seq = seq + 1", "seq = seq", number_of_an_overdue_end),
    "re-send that collides": ("commit", " on conflict do nothing", "", resend_after_lost_answer),
    "re-send that doubles": (
        "commit",
        "select t.sh, t.r, t.q,",
        "select t.sh, t.r, t.q + coalesce((select max(seq) from journal x where x.run_id = t.r), 0),",
        resend_after_lost_answer,
    ),
    "no re-read after a missing answer": ("_standings", "", "", end_whose_answer_got_lost),
    "cancel at finish": ("CANCEL", " and status in (0, 1, 2, 6)", "", cancel_at_finish),
    "cancel that ends what its owner is ending": ("CANCEL", "when status in (0, 2, 6)", "when true", cancel_at_finish),
}
NEEDED = {
    "no fence check",
    "lease predicate without its lock",
    "task not bound to the worker id of its claim",
    "sequence not set by the reaper",
    "no re-read after a missing answer",
    "signal lost while parking",
    "cancel at finish",
    "re-send that doubles",
}


class TestDirected:
    def test_no_mutant_that_is_needed_is_missing(self) -> None:
        assert set(MUTANTS) >= NEEDED

    @pytest.mark.parametrize("scenario", list(dict.fromkeys(m[3] for m in MUTANTS.values())), ids=lambda s: s.__name__)
    async def test_the_protocol_holds(self, ledger: tuple[Stores, str], scenario: Scenario) -> None:
        assert await scenario(*ledger)

    @pytest.mark.parametrize("name", list(MUTANTS))
    async def test_the_mutant_is_caught(
        self, ledger: tuple[Stores, str], name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        where, out, instead, scenario = MUTANTS[name]
        mutate(monkeypatch, where, out, instead)
        assert not await scenario(*ledger), f"nothing noticed: {name}"


def mutate(monkeypatch: pytest.MonkeyPatch, where: str, out: str, instead: str) -> None:
    """Takes one thing out of a statement; fails when it is not in there (any more)."""
    if where == "_standings":
        monkeypatch.setattr(GroupCommitter, where, _nothing_read)
        return
    if where not in ("_ME", "commit"):
        module = engine_sql if hasattr(engine_sql, where) else run_sql
        original = getattr(module, where)
        assert out in original
        monkeypatch.setattr(module, where, original.replace(out, instead))
        return
    build = engine_sql.commit
    assert out in build(changes=True, waits=True, waits_over=True, resend=True)
    monkeypatch.setattr(engine_sql, "commit", lambda **shape: build(**shape).replace(out, instead))


async def _nothing_read(_committer: GroupCommitter, _runs: list[Any]) -> dict[Any, Standing]:
    return {}


# ---------------------------------------------------------------------- the committer's own rules


class _LostAnswers:
    """A queue whose first answer gets lost after the work was done."""

    def __init__(self) -> None:
        self.sent: list[bool] = []
        self.asked = 0

    async def commit(self, worker_id: Any, wanted: CommitBatch, resend: bool = False) -> CommitAnswer:
        self.sent.append(resend)
        if len(self.sent) == 1:
            raise OutcomeUnknown("lost")
        return CommitAnswer(True, frozenset())

    async def standing(self, run_ids: list[Any]) -> dict[Any, Standing]:
        self.asked += 1
        return {run_id: Standing(run_id, RunStatus.SUCCEEDED, None, 1, 0, False) for run_id in run_ids}

    async def renew(self, worker_id: Any, lease: float) -> Any:
        raise AssertionError("not asked here")


class TestRefusedValue:
    """A batch with a value that can never be kept: its run learns of it, all others are committed."""

    async def test_the_run_with_the_value_fails_and_the_others_go_on(self, ledger: tuple[Stores, str]) -> None:
        stores, url = ledger
        worker_id = await worker(stores)
        runs = [await claimed(stores, worker_id) for _ in range(9)]
        bad, told, done = runs[4], [], []
        committer = GroupCommitter(stores.queue, worker_id, 30.0, lambda: None)

        def refused(reason: str) -> None:
            told.append(reason)
            change = RunChange(bad.run_id, bad.fence, RunStatus.FAILED, 1)
            committer.put(CommitItem(bad.run_id, [row(bad, 1, "failed")], lambda v, _: done.append(v), change))

        for run in runs:
            waits = [WaitRow(run.run_id, "w", "timer", None, 1e18, b"")] if run is bad else []
            first = CommitItem(run.run_id, [row(run, 1)], lambda v, _: done.append(v), waits=waits)
            committer.put(replace(first, refused=refused if run is bad else None))
        for run in runs:
            change = RunChange(run.run_id, run.fence, RunStatus.SUCCEEDED, 2) if run is not bad else None
            committer.put(CommitItem(run.run_id, [row(run, 2, "b")], lambda v, _: done.append(v), change))
        task = asyncio.create_task(committer.run())
        async with asyncio.timeout(20):
            await committer.settled()
        task.cancel()
        assert len(told) == 1
        assert "timestamp out of range" in told[0]
        assert [verdict for verdict in done if verdict is not Verdict.DONE] == [Verdict.LOST]  # what followed the value
        for run in runs:
            record = await stores.runs.get(1, run.run_id)
            assert record.status is (RunStatus.FAILED if run is bad else RunStatus.SUCCEEDED)
        assert "I4 a journal has gaps" not in await violations(url)


class TestWaits:
    async def test_one_that_begins_and_ends_in_one_commit_leaves_nothing(self, ledger: tuple[Stores, str]) -> None:
        stores, _ = ledger
        worker_id = await worker(stores)
        run, ended = await claimed(stores, worker_id), await claimed(stores, worker_id)
        committer = GroupCommitter(stores.queue, worker_id, 30.0, lambda: None)
        task = asyncio.create_task(committer.run())

        def put(of: Any, *keys: str, over: str | None = None, change: RunChange | None = None) -> None:
            waits = [WaitRow(of.run_id, key, "signal", "go", None, b"\x80") for key in keys]
            gone = [(of.run_id, over)] if over is not None else []
            committer.put(CommitItem(of.run_id, [], lambda v, _: None, change, waits, gone))

        put(run, "a", "b")
        put(run, over="a")
        put(run, "c")
        put(ended, "d")
        put(ended, change=RunChange(ended.run_id, ended.fence, RunStatus.CANCELLED, 0))
        await committer.settled()
        assert committer.counted.commits == 1
        put(run, over="b")
        put(run, "b")  # the same step waits again: the row of before stays
        await committer.settled()
        task.cancel()
        assert sorted(entry.step_key for entry in await stores.runs.waiting(1, None, 10)) == ["b", "c"]


class TestLostAnswer:
    async def test_an_end_that_was_made_before_the_answer_got_lost_counts(self) -> None:
        """Without reading again after a missing answer, a finished run would be taken for lost."""
        queue, verdicts = _LostAnswers(), []
        committer = GroupCommitter(queue, new_id(), 1.0, lambda: None)  # type: ignore[arg-type]
        task = asyncio.create_task(committer.run())
        run_id = new_id()
        change = RunChange(run_id, 1, RunStatus.SUCCEEDED, 1)
        committer.put(CommitItem(run_id, [], lambda verdict, _: verdicts.append(verdict), change))
        await committer.settled()
        task.cancel()
        assert verdicts == [Verdict.DONE]
        assert queue.sent == [False, True]
        assert queue.asked == 1

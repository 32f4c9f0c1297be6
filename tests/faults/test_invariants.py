"""The checker itself: each invariant finds a history that breaks it, and nothing in one that is sound."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schema import migrate
from interplay.core.runs.events import EventKind, RunSucceeded, StepSucceeded, encode_body
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import ClaimedRun, CommitBatch, JournalRow, RunChange
from tests.conformance.conftest import Stores, claimed, new_id, worker
from tests.faults import history
from tests.faults.history import Call, calls_after_cancel, calls_at_once, calls_of, calls_without_owner, keep_history
from tests.faults.invariants import AFTER_CANCEL, QUERIES, violations

_SECOND_RESULT = """insert into journal(shelf, run_id, seq, kind, step_key, attempt, fence, body, at)
  select shelf, run_id, 4, {kind}, step_key, 1, 2, body, clock_timestamp() from journal where seq = 1"""

BREAKS: dict[str, list[str]] = {
    "I1 a run is neither ended nor waiting for anything": ["update run set status = 0"],
    "I2 a step has two results": [_SECOND_RESULT.format(kind=2)],
    "I2 a step has settled twice": [_SECOND_RESULT.format(kind=4)],
    "I3 a fence decreases": ["update journal set fence = 9 where seq = 1"],
    "I4 a journal has gaps": ["delete from journal where seq = 2"],
    "I4 an ended run has no end, or more than one, or not as its last event": ["delete from journal where seq = 3"],
    "I4 a run's number is not that of its last event": ["update run set seq = 7"],
    "I6 an event under an older fence came after one under a newer": [
        "update journal set at = at + interval '1 minute' where seq = 1"
    ],
    "I6 a fence was given twice": ["insert into hold select * from hold where fence = 1"],
    "I6 two workers held a run at once": ["update hold set ended = ended + interval '1 minute' where fence = 1"],
    "I6 an event was written by somebody who did not hold the run": ["delete from hold where fence = 1"],
    AFTER_CANCEL: ["update run set cancel_at = now() - interval '13 seconds'"],
    "I14 a slot outlives its worker": [
        "alter table slot drop constraint slot_worker_id_fkey",
        "insert into slot(project_id, key, holder, worker_id) values (1, 'k', 'h', gen_random_uuid())",
    ],
}


@pytest.fixture
async def sound(database_url: str) -> AsyncIterator[tuple[str, UUID]]:
    """A run of two steps, each by another worker; all as it should be. The database's URL, and the run."""
    await migrate(database_url)
    await keep_history(database_url)
    database = Database(database_url)
    await Maintenance(database).ensure_shelves()
    nothing: Any = None
    queue = PostgresRunQueue(database)
    stores = Stores("postgres", queue, PostgresRunStore(database), *([nothing] * (len(fields(Stores)) - 3)))
    first, second = await worker(stores), await worker(stores)
    run = await claimed(stores, first)
    await queue.commit(first, CommitBatch([_step(run, 1, "a")]))
    await queue.retire(first)
    [again] = await queue.claim(second, "default", 1)
    end = RunSucceeded(1.0)
    rows = [
        _step(again, 2, "b"),
        JournalRow(run.run_id, run.shelf, 3, EventKind.RUN_SUCCEEDED, None, 0, again.fence, encode_body(end)),
    ]
    await queue.commit(second, CommitBatch(rows, [RunChange(run.run_id, again.fence, RunStatus.SUCCEEDED, 3)]))
    yield database_url, run.run_id
    await queue.close()
    await database.close()


def _step(run: ClaimedRun, seq: int, key: str) -> JournalRow:
    body = encode_body(StepSucceeded(1, time.time(), 0.0))
    return JournalRow(run.run_id, run.shelf, seq, EventKind.STEP_SUCCEEDED, key, 1, run.fence, body)


async def _do(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


class TestChecker:
    async def test_a_sound_history_breaks_nothing(self, sound: tuple[str, UUID]) -> None:
        assert await violations(sound[0]) == {}

    def test_every_invariant_has_a_history_that_breaks_it(self) -> None:
        assert set(BREAKS) == {*QUERIES, *history.QUERIES, AFTER_CANCEL}

    @pytest.mark.parametrize("name", list(BREAKS))
    async def test_a_history_that_breaks_it_is_found(self, sound: tuple[str, UUID], name: str) -> None:
        await _do(sound[0], *BREAKS[name])
        assert name in await violations(sound[0])

    async def test_an_event_after_the_run_was_taken_away_is_found(self, sound: tuple[str, UUID]) -> None:
        """I6 whatever the order of fences says: the first worker writes under its own fence, after it lost the run."""
        await _do(sound[0], "update hold set ended = began where fence = 1")
        assert "I6 an event was written by somebody who did not hold the run" in await violations(sound[0])

    async def test_a_cancel_that_the_owner_may_not_have_heard_of_is_none(self, sound: tuple[str, UUID]) -> None:
        await _do(sound[0], "update run set cancel_at = now() - interval '11 seconds'")
        assert await violations(sound[0]) == {}


class TestCalls:
    """What a provider was asked, beside who held the run when."""

    async def test_calls_of_whoever_holds_the_run_are_in_order(self, sound: tuple[str, UUID]) -> None:
        url, run = sound
        assert await calls_without_owner(url, [_call(run, 0.0)], 1.0) == []

    async def test_a_call_long_after_the_run_ended_is_found(self, sound: tuple[str, UUID]) -> None:
        url, run = sound
        late = _call(run, 5.0)
        assert await calls_without_owner(url, [_call(run, 0.0), late], 1.0) == [late]

    async def test_a_call_for_a_run_that_nobody_ever_held_is_found(self, sound: tuple[str, UUID]) -> None:
        unknown = _call(new_id(), 0.0)
        assert await calls_without_owner(sound[0], [unknown], 1.0) == [unknown]

    def test_two_calls_for_one_step_may_not_both_go_on(self) -> None:
        run = new_id()
        long, short, other = _call(run, 0.0, 9.0), _call(run, 1.0, 8.0), _call(run, 1.0, 8.0, "b")
        assert calls_at_once([long, short, other], 2.0) == [(long, short)]
        assert calls_at_once([long, short, other], 8.5) == []

    async def test_a_call_long_after_a_cancel_is_found(self, sound: tuple[str, UUID]) -> None:
        url, run = sound
        await _do(url, "update run set cancel_at = now() - interval '5 seconds'")
        late = _call(run, 0.0)
        assert await calls_after_cancel(url, [late], 1.0) == [late]
        assert await calls_after_cancel(url, [late], 60.0) == []

    def test_calls_that_name_no_step_are_left_out(self) -> None:
        run = new_id()
        ledger = [{"key": None, "began": 1.0, "over": 2.0}, {"key": f"{run}:a", "began": 1.0, "over": 2.0}]
        assert calls_of(ledger) == [Call(run, f"{run}:a", 1.0, 2.0)]


def _call(run_id: UUID, after: float, seconds: float = 0.1, step: str = "a") -> Call:
    began = time.time() + after
    return Call(run_id, f"{run_id}:{step}", began, began + seconds)

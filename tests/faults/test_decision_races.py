"""Decisions at the same instant as each other, as the end of their time, and signals at the run's last free place
(fault 27): on a real database, by connections of their own, in an order that the test makes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.postgres import run_sql
from interplay.adapters.postgres.connection import Database
from interplay.adapters.postgres.maintenance import Maintenance
from interplay.adapters.postgres.run_queue import PostgresRunQueue
from interplay.adapters.postgres.run_store import PostgresRunStore
from interplay.adapters.postgres.schema import migrate
from interplay.core.errors import Conflict, Unavailable
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import Body, EventKind, StepSucceeded, StepWaiting, encode_body, encode_value
from interplay.core.runs.signals import MOST_SIGNALS
from interplay.ports.run_queue import ClaimedRun, CommitBatch, JournalRow, WaitRow
from interplay.use_cases import steer_run
from interplay.use_cases.steer_run import Decision, SteerRun
from tests.conformance.conftest import new_id, new_run

pytestmark = pytest.mark.timeout(60)
NAME = "approval:ok"


@dataclass
class Asked:
    """A run in the hands of a worker, whose step `ok` waits for people."""

    url: str
    queue: PostgresRunQueue
    runs: PostgresRunStore
    worker_id: UUID
    run: ClaimedRun

    def person(self) -> SteerRun:
        """What the API does for one caller; its connections are its own."""
        return SteerRun(self.runs, MemoryEventBus(), SystemClock(), new_id)

    async def wait(self, within: float | None = None) -> None:
        until = time.time() + within if within is not None else None
        detail = {"who": None, "quorum": 1, "otherwise": "reject"}
        rows = [self._row(1, StepWaiting("approval", NAME, until, time.time(), detail))]
        waits = [WaitRow(self.run.run_id, "ok", "approval", NAME, until, encode_value(detail))]
        await self.queue.commit(self.worker_id, CommitBatch(rows, [], waits))

    async def end(self, decision: str, by: str, via: str) -> None:
        """The worker's word: how the wait ended."""
        output = {"decision": decision, "by": by, "fields": {}}
        rows = [self._row(2, StepSucceeded(output, time.time(), 0.0, None, None, via))]
        over = [(self.run.run_id, "ok")]
        await self.queue.commit(self.worker_id, CommitBatch(rows, [], [], over))

    def _row(self, seq: int, body: Body) -> JournalRow:
        return JournalRow(self.run.run_id, self.run.shelf, seq, body.kind, "ok", 1, self.run.fence, encode_body(body))

    async def left(self, count: int) -> None:
        """Returns once so many signals are durable."""
        async with asyncio.timeout(20):
            while len(await self.runs.signals(1, self.run.run_id)) < count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def asked(database_url: str) -> AsyncIterator[Asked]:
    await migrate(database_url)
    database = Database(database_url)
    await Maintenance(database).ensure_shelves()
    queue, runs = PostgresRunQueue(database), PostgresRunStore(database)
    worker_id = new_id()
    await queue.register(worker_id, "default", 10, 60.0)
    await runs.create([new_run()])
    [run] = await queue.claim(worker_id, "default", 1)
    yield Asked(database_url, queue, runs, worker_id, run)
    await queue.close()
    await database.close()


async def while_held(
    asked: Asked,
    waiting: Callable[[], Awaitable[object]],
    then: Callable[[asyncpg.Connection], Awaitable[None]],
) -> list[object]:
    """`waiting` begins while another connection has the run's row and waits for it; then `then` is done on that
    connection and committed. What `waiting` comes to."""
    connection = await asyncpg.connect(asked.url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("select 1 from run where run_id = $1 for update", asked.run.run_id)
    task = asyncio.ensure_future(waiting())
    watch = await asyncpg.connect(asked.url)
    async with asyncio.timeout(20):
        while not await watch.fetchval(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        ):
            await asyncio.sleep(0.01)
    await watch.close()
    await then(connection)
    await transaction.commit()
    await connection.close()
    return list(await asyncio.gather(task, return_exceptions=True))


class TestTwoPeople:
    async def test_one_of_two_at_the_same_instant_decides_and_the_other_is_told(self, asked: Asked) -> None:
        """grace began first, ada is durable first: ada's counts, and both hear the same."""
        await asked.wait()

        async def ada(connection: asyncpg.Connection) -> None:
            payload = {"decision": "approve", "by": "ada", "fields": {}, "comment": None}
            own = derived_uuid("signal", str(asked.run.run_id), NAME, "decision:ada")
            arguments = (1, asked.run.run_id, own, NAME, encode_value(payload), MOST_SIGNALS)
            assert await connection.fetchrow(run_sql.SIGNAL, *arguments) is not None

        [answer] = await while_held(
            asked, lambda: asked.person().decide(1, asked.run.run_id, "ok", Decision("reject", "grace")), ada
        )
        assert isinstance(answer, Conflict), answer
        assert answer.detail == "ada decided already: approve."
        assert answer.advice == "Nothing was changed; see `interplay runs show RUN`."
        again = await asked.person().decide(1, asked.run.run_id, "ok", Decision("approve", "ada"))
        assert not again, "it is there, and it counts"

    async def test_of_many_at_once_exactly_one_is_told_that_it_counts(self, asked: Asked) -> None:
        await asked.wait()
        sent = [
            asked.person().decide(1, asked.run.run_id, "ok", Decision("approve" if n % 2 else "reject", f"p{n}"))
            for n in range(10)
        ]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        won = [f"p{n}" for n, answer in enumerate(answers) if answer is True]
        told = [answer.detail for answer in answers if isinstance(answer, Conflict)]
        assert len(won) == 1
        assert len(told) == 9
        assert all(detail.startswith(f"{won[0]} decided already: ") for detail in told)


class TestEndOfTheTime:
    async def test_who_loses_against_it_is_told_so(self, asked: Asked) -> None:
        """The decision is durable, and the worker has not seen it when it journals the end of the time."""
        await asked.wait(within=0.5)
        deciding = asyncio.create_task(asked.person().decide(1, asked.run.run_id, "ok", Decision("approve", "ada")))
        await asked.left(1)
        await asked.end("reject", "", "timer")
        [answer] = await asyncio.gather(deciding, return_exceptions=True)
        assert isinstance(answer, Conflict), answer
        assert answer.detail == "Nobody decided in time, so it ended with reject."

    async def test_who_wins_against_it_is_told_so(self, asked: Asked) -> None:
        await asked.wait(within=0.5)
        deciding = asyncio.create_task(asked.person().decide(1, asked.run.run_id, "ok", Decision("approve", "ada")))
        await asked.left(1)
        await asked.end("approve", "ada", "decision")
        assert await deciding
        with pytest.raises(Conflict, match=r"ada decided already: approve\."):
            await asked.person().decide(1, asked.run.run_id, "ok", Decision("reject", "grace"))

    async def test_while_no_worker_says_which_was_first_nobody_is_told_a_guess(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(steer_run, "_OUTCOME", 0.1)
        await asked.wait(within=0.5)
        for _ in range(2):
            with pytest.raises(Unavailable, match="no worker has said yet") as away:
                await asked.person().decide(1, asked.run.run_id, "ok", Decision("approve", "ada"))
            assert away.value.advice == "Send the same decision again in a moment: it counts once."
        assert len(await asked.runs.signals(1, asked.run.run_id)) == 1

    async def test_long_before_it_the_answer_waits_for_nobody(self, asked: Asked) -> None:
        await asked.wait(within=3600.0)
        assert await asked.person().decide(1, asked.run.run_id, "ok", Decision("approve", "ada"))


class TestLastPlace:
    async def test_of_two_signals_for_the_last_place_one_is_kept_and_the_other_is_told(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The number is read again once the run's row is free."""
        monkeypatch.setattr("interplay.adapters.postgres.run_store.MOST_SIGNALS", 1)

        async def first(connection: asyncpg.Connection) -> None:
            arguments = (1, asked.run.run_id, new_id(), "go", b"\x01", 1)
            assert await connection.fetchrow(run_sql.SIGNAL, *arguments) is not None

        [answer] = await while_held(asked, lambda: asked.person().signal(1, asked.run.run_id, "go", 2), first)
        assert isinstance(answer, Conflict), answer
        assert [body for _, _, body, _ in await asked.runs.signals(1, asked.run.run_id)] == [b"\x01"]

    async def test_the_ten_thousandth_is_kept_and_the_next_is_told_what_to_do(self, asked: Asked) -> None:
        connection = await asyncpg.connect(asked.url)
        await connection.execute("update run set sig = 9999 where run_id = $1", asked.run.run_id)
        await connection.close()
        assert await asked.person().signal(1, asked.run.run_id, "go", 1, "the last")
        with pytest.raises(Conflict) as full:
            await asked.person().signal(1, asked.run.run_id, "go", 2)
        assert full.value.detail == (
            "The run has 10,000 signals, the most of its life, and takes no more: this one was not kept."
        )
        assert full.value.advice == (
            "Start a run for what is still to come; those that it has stay, and decisions of people are still taken."
        )
        assert not await asked.person().signal(1, asked.run.run_id, "go", 1, "the last"), "it is there already"
        await asked.wait()
        assert await asked.person().decide(1, asked.run.run_id, "ok", Decision("approve", "ada"))
        events = await asked.runs.events(1, asked.run.run_id)
        assert [event.kind for event in events] == [EventKind.STEP_WAITING]

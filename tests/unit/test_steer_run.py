"""People who decide before any worker has looked: the question is still on the list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from interplay.adapters.memory.clock import SystemClock
from interplay.adapters.memory.event_bus import MemoryEventBus
from interplay.adapters.memory.ledger import MemoryLedger
from interplay.adapters.memory.run_queue import MemoryRunQueue
from interplay.adapters.memory.run_store import MemoryRunStore
from interplay.core.errors import Conflict, InvalidInput, NotFound
from interplay.core.ids import derived_uuid
from interplay.core.runs.events import encode_value
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import CommitBatch, RunChange, WaitRow
from interplay.ports.run_store import NewRun
from interplay.use_cases.steer_run import Decision, SteerRun

RUN, WORKER = derived_uuid("run"), derived_uuid("worker")


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(SystemClock())


async def asked(ledger: MemoryLedger, quorum: int = 1) -> SteerRun:
    """A run that waits for people, and nobody who works."""
    runs, queue = MemoryRunStore(ledger), MemoryRunQueue(ledger)
    await runs.create([NewRun(RUN, 1, "f", "ab" * 32, encode_value({}))])
    await queue.register(WORKER, "default", 1, 30.0)
    detail = {"who": None, "quorum": quorum}
    wait = WaitRow(RUN, "ok", "approval", "approval:ok", None, encode_value(detail))
    [claimed] = await queue.claim(WORKER, "default", 1)
    parked = RunChange(RUN, claimed.fence, RunStatus.WAITING, claimed.seq)
    answer = await queue.commit(WORKER, CommitBatch(changes=[parked], waits=[wait]))
    assert answer.changed == {RUN}
    return SteerRun(runs, MemoryEventBus(), ledger.clock, lambda: UUID(int=0))


async def refused(steer: SteerRun, decision: str, by: str) -> str:
    with pytest.raises(Conflict) as wrong:
        await steer.decide(1, RUN, "ok", Decision(decision, by))
    return wrong.value.detail


class TestSignal:
    async def test_a_decision_cannot_be_sent_as_a_signal(self, ledger: MemoryLedger) -> None:
        steer = await asked(ledger)
        with pytest.raises(InvalidInput, match="decisions"):
            await steer.signal(1, RUN, "approval:ok", {"decision": "approve", "by": "eve"})
        assert await steer.signal(1, RUN, "approved", {"decision": "approve", "by": "eve"})

    @pytest.mark.parametrize("payload", [2**64, "\ud800", {"a": [float("inf")]}])
    async def test_what_cannot_be_kept_is_refused(self, ledger: MemoryLedger, payload: Any) -> None:
        steer = await asked(ledger)
        with pytest.raises(InvalidInput, match="The payload"):
            await steer.signal(1, RUN, "go", payload)
        with pytest.raises(InvalidInput, match="The decision"):
            await steer.decide(1, RUN, "ok", Decision("approve", "ada", {"a": payload}))


class TestDecide:
    async def test_the_second_person_is_told_what_the_first_decided(self, ledger: MemoryLedger) -> None:
        steer = await asked(ledger)
        assert await steer.decide(1, RUN, "ok", Decision("approve", "ada"))
        assert await refused(steer, "reject", "grace") == "ada decided already: approve."

    async def test_who_changes_their_mind_is_told_that_it_stands(self, ledger: MemoryLedger) -> None:
        steer = await asked(ledger)
        await steer.decide(1, RUN, "ok", Decision("approve", "ada"))
        assert not await steer.decide(1, RUN, "ok", Decision("approve", "ada"))
        assert await refused(steer, "reject", "ada") == "ada decided already: approve."

    async def test_where_two_are_needed_the_third_is_told(self, ledger: MemoryLedger) -> None:
        steer = await asked(ledger, quorum=2)
        assert await steer.decide(1, RUN, "ok", Decision("approve", "ada"))
        assert await steer.decide(1, RUN, "ok", Decision("approve", "grace"))
        assert await refused(steer, "approve", "bob") == "ada, grace decided already: approve."

    async def test_what_was_never_asked_is_not_found(self, ledger: MemoryLedger) -> None:
        steer = await asked(ledger)
        with pytest.raises(NotFound, match="ok"):
            await steer.decide(1, RUN, "okk", Decision("approve", "ada"))
        with pytest.raises(NotFound):
            await steer.decide(2, RUN, "ok", Decision("approve", "ada"))

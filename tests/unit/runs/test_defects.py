"""A defect in what one run does fails that run; a ledger that was away costs no run and no budget."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from interplay.core.runs.events import BlobRef, EventKind, StepSucceeded, decode_value, encode_body, encode_value
from interplay.core.runs.status import RunStatus
from interplay.ports.run_queue import ClaimedRun, CommitAnswer, CommitBatch, OutcomeUnknown, RenewAnswer
from interplay.ports.run_store import NewRun
from tests.factories import Value, const, plan, ref, step
from tests.unit.runs.test_commits import VERSION, Bench, GatedQueue, added, bench, new_id


def broken(names: Any) -> Any:
    """A defect: not a StepFailure, which is the only thing that an expression may raise."""
    if names["inputs"].get("bad"):
        raise RuntimeError("this was not thought of")
    return True


async def submit(made: Bench, **inputs: Any) -> UUID:
    made.inputs = inputs
    return await made.submit()


async def failure_of(made: Bench, run: UUID) -> dict[str, Any]:
    assert await made.ended(run) is RunStatus.FAILED
    error = (await made.runs.get(1, run)).error
    assert error is not None
    found: dict[str, Any] = decode_value(error)["failure"]
    return found


FLOWS: dict[str, Callable[[], Any]] = {
    "a condition": lambda: plan(added("a"), step("b", needs=["a"], when=Value(broken)), version=VERSION),
    "a computed value": lambda: plan(step("a", "set", values={"value": Value(broken)}), version=VERSION),
    "the output": lambda: plan(added("a"), output=Value(broken), version=VERSION),
    "a step of the first moment": lambda: plan(step("a", when=Value(broken)), version=VERSION),
    "a value that cannot be encoded": lambda: plan(
        step("a", "set", values={"value": Value(lambda n: 2**70 if broken_one(n) else 1)}), version=VERSION
    ),
}


def broken_one(names: Any) -> bool:
    return bool(names["inputs"].get("bad"))


class TestOneBadRun:
    @pytest.mark.parametrize("where", list(FLOWS))
    async def test_it_fails_with_a_sentence_and_the_others_end(self, where: str) -> None:
        async with bench(FLOWS[where]()) as made:
            good = await submit(made, x=1)
            bad = await submit(made, x=1, bad=True)
            after = await submit(made, x=1)
            failure = await failure_of(made, bad)
            assert failure["code"] == "internal"
            assert failure["detail"]
            first = made.worker.tenure
            for run in (good, after):
                assert await made.ended(run) is RunStatus.SUCCEEDED
            assert made.worker.tenure is first, "the worker was lost"
            events = await made.runs.events(1, bad)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert [EventKind(event.kind) for event in events if EventKind(event.kind).terminal] == [
                EventKind.RUN_FAILED
            ]

    async def test_inputs_that_cannot_be_read_fail_it_too(self) -> None:
        async with bench(plan(added("a"), version=VERSION)) as made:
            made.raw = b"\x81\xa1x"
            failure = await failure_of(made, await made.submit())
            made.raw = None
            assert failure["code"] == "internal"
            assert await made.ended(await submit(made, x=1)) is RunStatus.SUCCEEDED


class ForgetfulQueue(GatedQueue):
    """Makes claims, and loses the answers of as many as it is told to; then it may be away for a while."""

    claims_to_lose = 0
    away = False

    async def claim(self, worker_id: UUID, queue: str, most: int) -> list[ClaimedRun]:
        if self.away:
            raise OutcomeUnknown("away")
        found = await super().claim(worker_id, queue, most)
        if found and self.claims_to_lose:
            self.claims_to_lose -= 1
            raise OutcomeUnknown("The answer got lost.")
        return found

    async def renew(self, worker_id: UUID, lease: float) -> RenewAnswer:
        if self.away:
            raise OutcomeUnknown("away")
        return await super().renew(worker_id, lease)

    async def retire(self, worker_id: UUID) -> int:
        if self.away:
            raise OutcomeUnknown("away")
        return await super().retire(worker_id)

    async def commit(self, worker_id: UUID, batch: CommitBatch, resend: bool = False) -> CommitAnswer:
        if self.away:
            raise OutcomeUnknown("away")
        return await super().commit(worker_id, batch, resend)


class TestLedgerAway:
    async def test_the_runs_of_a_claim_whose_answer_got_lost_are_executed_under_the_same_lease(self) -> None:
        flow = plan(added("a"), added("b", "a"), output=ref("b.v"), version=VERSION)
        async with bench(flow, ForgetfulQueue) as made:
            made.queue.claims_to_lose = 2
            first = made.worker.tenure
            runs = [await submit(made, x=1) for _ in range(5)]
            for run in runs:
                assert await made.ended(run) is RunStatus.SUCCEEDED
                assert (await made.runs.get(1, run)).takeovers == 0
            assert made.worker.tenure is first

    async def test_an_outage_longer_than_the_lease_charges_no_takeover(self) -> None:
        """With a budget of none, a single takeover would be the end of the run."""
        flow = plan(added("a"), step("w", "wait", needs=["a"], values={"for": const(0.4)}), version=VERSION)
        async with bench(flow, ForgetfulQueue, lease=0.3, renew_every=0.05, takeover_budget=0, sweep=0.05) as made:
            first = made.worker.tenure
            run = await submit(made, x=1)
            async with asyncio.timeout(10):
                while not made.queue.sent:
                    await asyncio.sleep(0.005)
            made.queue.away = True
            await asyncio.sleep(0.6)
            made.queue.away = False
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert (await made.runs.get(1, run)).takeovers == 0
            assert made.worker.tenure is not first


class TestValuesThatAreGone:
    async def test_the_run_says_that_a_value_is_missing_and_not_its_flow(self) -> None:
        kept = StepSucceeded(None, 1.0, 0.0, BlobRef("other:a", 9, "d"))
        journal = ((int(EventKind.STEP_SUCCEEDED), "a", 1, encode_body(kept)),)
        async with bench(FLOWS["the output"]()) as made:
            run = NewRun(new_id(), 1, "f", VERSION, encode_value({"x": 1}), journal=journal)
            await made.runs.create([run])
            assert (await failure_of(made, run.run_id))[
                "detail"
            ] == "The run cannot go on: The value is not kept any more."

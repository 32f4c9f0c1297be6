"""Values over 64 KiB are kept apart from the journal whatever fact carries them; over 64 MiB they fail, and soon."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import UUID

import pytest

from interplay.core.runs.events import StepProgressed, StepWaiting, decode_body, decode_value, encode_value
from interplay.core.runs.status import RunStatus
from interplay.core.runs.values import surely_over
from interplay.use_cases.write_facts import INLINE_LIMIT
from tests.conformance.conftest import new_id
from tests.factories import Value, const, looped, plan, ref, step
from tests.unit.runs.test_commits import VERSION, Bench, added, bench

LARGE = "ä" * 100_000
HUGE = ["x" * 2**20] * 70  # 70 MiB of one text: nothing in memory, and too much for a journal


def growing(at_turn: Any, *inner: Any) -> Any:
    update = Value(lambda names: {"turn": names["index"], "text": at_turn(names["index"])})
    until = Value(lambda names: names["index"] >= 3)
    return looped(
        "turns", *(inner or (added("a"),)), carry={"turn": -1, "text": ""}, update=update, until=until, most=9
    )


async def waiting(made: Bench, run: UUID) -> None:
    async with asyncio.timeout(10):
        while (await made.runs.get(1, run)).status is not RunStatus.WAITING:
            await asyncio.sleep(0.002)


async def largest(made: Bench, run: UUID) -> int:
    return max(len(event.body) for event in await made.runs.events(1, run))


class TestKeptApart:
    async def test_what_a_loop_carries_is_there_for_the_next_owner(self) -> None:
        """The run parks in the second turn, so whoever goes on folds the journal."""
        ask = step("ok", "approve", when=Value(lambda names: names["index"] == 1))
        flow = plan(growing(lambda n: f"{n}{LARGE}", ask), output=ref("turns.carry"), version=VERSION)
        async with bench(flow) as made:
            run = await made.submit()
            await waiting(made, run)
            decision = encode_value({"decision": "approve", "by": "ada"})
            await made.runs.signal(1, run, new_id(), "approval:turns[1].ok", decision)
            made.worker.nudge()
            assert await made.ended(run) is RunStatus.SUCCEEDED
            assert await largest(made, run) < INLINE_LIMIT
            events = [decode_body(e.kind, e.body) for e in await made.runs.events(1, run)]
            turns = [body for body in events if isinstance(body, StepProgressed)]
            assert [turn.value for turn in turns] == [None] * 3
            assert len({turn.blob.blob_id for turn in turns if turn.blob is not None}) == 3

    async def test_what_an_approval_shows_is_not_in_its_row_and_who_may_decide_is(self) -> None:
        shown = {"who": const(["ada"]), "show": const(LARGE)}
        flow = plan(step("ok", "approve", values=shown), output=ref("ok.by"), version=VERSION)
        async with bench(flow) as made:
            run = await made.submit()
            await waiting(made, run)
            row = (await made.runs.waiting(1, "approval", 10))[0]
            detail = decode_value(row.body)
            assert len(row.body) < INLINE_LIMIT
            assert detail["who"] == ["ada"]
            assert detail["show"].startswith("äää")
            assert await largest(made, run) < INLINE_LIMIT
            await made.runs.signal(1, run, new_id(), "approval:ok", encode_value({"decision": "approve", "by": "ada"}))
            made.worker.nudge()
            assert await made.ended(run) is RunStatus.SUCCEEDED

    async def test_what_stands_in_for_a_signal_comes_back_whole(self) -> None:
        late = {"signal": const("go"), "within": const(2.5), "otherwise": const(LARGE)}
        flow = plan(step("w", "wait", values=late), output=Value(lambda names: len(names["w"])), version=VERSION)
        async with bench(flow, sweep=0.05) as made:
            run = await made.submit()
            await waiting(made, run)
            assert await made.ended(run) is RunStatus.SUCCEEDED
            record = await made.runs.get(1, run)
            assert record.output is not None
            assert decode_value(record.output) == len(LARGE)
            body = next(
                body
                for e in await made.runs.events(1, run)
                if isinstance(body := decode_body(e.kind, e.body), StepWaiting)
            )
            assert body.blob is not None


HUGE_FLOWS = {
    "a loop": lambda: plan(growing(lambda n: HUGE if n == 1 else ""), output=ref("turns.carry"), version=VERSION),
    "an approval": lambda: plan(step("ok", "approve", values={"show": const(HUGE)}), version=VERSION),
    "a computed value": lambda: plan(step("a", "set", values={"value": const(HUGE)}), version=VERSION),
    "the value used instead": lambda: plan(
        step("a", "set", values={"value": const(HUGE)}, fallback=const(HUGE)), version=VERSION
    ),
    "the output": lambda: plan(added("a"), output=const(HUGE), version=VERSION),
}


class TestTooLarge:
    @pytest.mark.parametrize("where", list(HUGE_FLOWS))
    async def test_it_fails_the_run_with_a_clear_word(self, where: str) -> None:
        async with bench(HUGE_FLOWS[where]()) as made:
            run = await made.submit()
            assert await made.ended(run) is RunStatus.FAILED
            error = (await made.runs.get(1, run)).error
            assert error is not None
            failure = decode_value(error)["failure"]
            assert failure["code"] == "output_too_large"
            assert failure["detail"] == "A value may have 64 MiB, and this one has more than that."
            assert failure["advice"] == (
                "Give back less, or keep the data in a store of its own and pass its address on."
            )
            events = await made.runs.events(1, run)
            assert [event.seq for event in events] == list(range(1, len(events) + 1))
            assert await largest(made, run) < INLINE_LIMIT

    def test_it_is_told_without_looking_at_all_of_it(self) -> None:
        doubled: Any = "x" * 1000
        for _ in range(40):
            doubled = [doubled, doubled]
        began = time.perf_counter()
        assert surely_over(doubled, 2**26)
        assert time.perf_counter() - began < 5

    def test_what_is_within_the_limit_is_not(self) -> None:
        assert not surely_over({"a": ["x" * 100] * 10, "b": 1.0, "c": None}, 1100)
        assert surely_over({"a": ["x" * 100] * 10}, 1000)

    async def test_those_who_may_decide_are_not_without_end(self) -> None:
        flow = plan(step("ok", "approve", values={"who": const(["x" * 100] * 1000)}), version=VERSION)
        async with bench(flow) as made:
            assert await made.ended(await made.submit()) is RunStatus.FAILED

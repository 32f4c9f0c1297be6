"""Why a step stands as it does, in sentences."""

from __future__ import annotations

import pytest

from interplay.core.errors import NotFound
from interplay.core.failures import Failure
from interplay.core.runs.events import (
    Body,
    Event,
    RunCancelled,
    StepRetrying,
    StepSkipped,
    StepSucceeded,
    StepWaiting,
)
from interplay.core.runs.explain import explain
from tests.factories import looped, plan, ref, step

PLAN = plan(
    step("a"),
    step("paid", "wait", needs=["a"]),
    step("ship", needs=["paid"]),
    step("note", needs=["ship"]),
    looped("turns", step("ok"), carry=0, update=ref("ok"), until=ref("ok"), most=3),
)
PAID = StepWaiting("signal", "paid", 1_900_000_000.0, 100.0)
ASK = StepWaiting("approval", "approval:paid", None, 100.0, {"who": ["ada", "grace"], "quorum": 1})
DONE = StepSucceeded(1, 100.0, 1.0)


def told(key: str, *facts: tuple[str | None, Body]) -> list[str]:
    return explain(PLAN, [Event(seq, name, 1, body) for seq, (name, body) in enumerate(facts, 1)], key)


class TestWaiting:
    def test_for_a_signal_it_is_named_with_the_deadline(self) -> None:
        assert told("paid", ("a", DONE), ("paid", PAID)) == [
            "paid waits for the signal 'paid', until 2030-03-17 17:46:40 UTC."
        ]

    def test_for_a_person_they_are_named(self) -> None:
        assert told("paid", ("a", DONE), ("paid", ASK)) == ["paid waits for a decision of ada or grace."]

    def test_for_a_time_it_is_told(self) -> None:
        timer = StepWaiting("timer", None, 1_900_000_000.0, 100.0)
        assert told("paid", ("paid", timer)) == ["paid waits for the time 2030-03-17 17:46:40 UTC."]

    def test_what_comes_later_leads_back_to_it(self) -> None:
        assert told("note", ("a", DONE), ("paid", PAID)) == [
            "note has not run yet: it needs ship.",
            "ship has not run yet: it needs paid.",
            "paid waits for the signal 'paid', until 2030-03-17 17:46:40 UTC.",
        ]

    def test_inside_a_step_it_is_found(self) -> None:
        assert told("turns", ("turns[0].ok", ASK)) == [
            "turns is under way: inside it, turns[0].ok waits for a decision of ada or grace."
        ]

    def test_it_is_over_once_the_signal_came(self) -> None:
        assert told("paid", ("paid", PAID), ("paid", DONE)) == ["paid was not skipped: it succeeded."]

    def test_nothing_waits_in_a_run_that_ended(self) -> None:
        assert told("paid", ("paid", PAID), (None, RunCancelled("no"))) == ["paid did not end: the run is cancelled."]


class TestOthers:
    def test_a_step_whose_needs_are_there_is_not_said_to_need_them(self) -> None:
        assert told("ship", ("paid", DONE)) == ["ship is under way, or about to be: everything that it needs is there."]

    def test_an_attempt_that_failed_is_told(self) -> None:
        again = StepRetrying(Failure("timeout", "No answer in 2 s."), 100.0, 2.0, 103.0)
        assert told("a", ("a", again)) == ["a is tried again: the attempt before failed (timeout): No answer in 2 s."]

    def test_a_skip_leads_back_to_what_was_absent(self) -> None:
        skipped = told("ship", ("paid", StepSkipped("needs", "a")), ("ship", StepSkipped("needs", "paid")))
        assert skipped[0] == "ship was skipped: it needs paid, which has no value."

    def test_a_step_that_is_not_there_comes_with_near_names(self) -> None:
        with pytest.raises(NotFound, match="paid"):
            told("payd")

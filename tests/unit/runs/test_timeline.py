"""Where the time of a run went."""

from __future__ import annotations

import pytest

from interplay.core.runs.events import Body, Event, RunCancelled, RunStarted, StepSucceeded, StepWaiting
from interplay.core.runs.timeline import timeline
from tests.factories import plan, step

PLAN = plan(step("a"), step("b"), step("c", needs=["a", "b"]))


def journal(*facts: tuple[str, Body]) -> list[Event]:
    start = Event(1, None, 0, RunStarted(100.0))
    return [start, *(Event(seq, key, 1, body) for seq, (key, body) in enumerate(facts, 2))]


def done(key: str, started: float, seconds: float, via: str = "") -> tuple[str, Body]:
    return key, StepSucceeded(1, started, seconds, via=via)


class TestTimeline:
    def test_two_steps_at_once_are_twice_as_busy_as_long(self) -> None:
        found = timeline(PLAN, journal(done("a", 100, 2), done("b", 100, 2), done("c", 102, 1)))
        assert (found.wall, found.busy) == (3.0, 5.0)
        assert found.parallelism == pytest.approx(5 / 3)

    def test_one_after_the_other_is_one(self) -> None:
        assert timeline(PLAN, journal(done("a", 100, 1), done("b", 101, 1), done("c", 102, 1))).parallelism == 1.0

    def test_time_in_which_nothing_ran_does_not_count(self) -> None:
        assert timeline(PLAN, journal(done("a", 100, 1), done("b", 150, 1))).parallelism == 1.0

    def test_timers_that_ran_at_once_count_like_steps(self) -> None:
        waiting = [(key, StepWaiting("timer", None, 101.0, 100.0)) for key in ("a", "b")]
        found = timeline(PLAN, journal(*waiting, done("a", 100, 1, "timer"), done("b", 100, 1, "timer")))
        assert found.parallelism == 2.0

    def test_what_was_there_already_took_no_time(self) -> None:
        found = timeline(PLAN, journal(done("a", 100, 9, "cache"), done("b", 100, 9, "fork"), done("c", 100, 1)))
        assert (found.busy, found.parallelism) == (1.0, 1.0)

    def test_the_critical_path_leads_back_from_what_ended_last(self) -> None:
        found = timeline(PLAN, journal(done("a", 100, 1), done("b", 100, 3), done("c", 103, 1)))
        assert found.critical_path == ["b", "c"]


class TestWaiting:
    PAID = StepWaiting("signal", "paid", 1_900_000_000.0, 100.0)

    def test_a_span_knows_what_it_waits_for(self) -> None:
        (span,) = timeline(PLAN, journal(("a", self.PAID))).spans
        assert (span.status, span.wait) == ("waiting", self.PAID)
        assert span.reason == "for the signal 'paid', until 2030-03-17 17:46:40 UTC"

    def test_what_came_is_waited_for_no_more(self) -> None:
        (span,) = timeline(PLAN, journal(("a", self.PAID), done("a", 100, 5, "signal"))).spans
        assert (span.status, span.wait, span.reason) == ("succeeded", None, None)

    def test_nothing_waits_in_a_run_that_ended(self) -> None:
        events = [*journal(("a", self.PAID)), Event(9, None, 0, RunCancelled("no"))]
        (span,) = timeline(PLAN, events).spans
        assert (span.status, span.wait) == ("cancelled", None)

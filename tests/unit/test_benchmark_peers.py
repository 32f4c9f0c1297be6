"""How other systems are judged beside us: the benchmarks must not flatter."""

from __future__ import annotations

from benchmarks.harness.result import Result
from benchmarks.scenarios.peers import Figures, judge


def judged(ours: list[float], theirs: list[float] | None, reason: str | None = None) -> Result:
    result = Result("made-up")
    judge(result, "other", 6, Figures(rates=ours), None if theirs is None else Figures(rates=theirs), reason)
    return result


class TestARatio:
    def test_is_our_median_round_over_their_best(self) -> None:
        (bar,) = judged([10.0, 90.0, 30.0], [2.0, 5.0, 1.0]).bars
        assert (bar.value, bar.met) == (6.0, True)

    def test_below_its_bar_fails_the_result(self) -> None:
        assert not judged([29.0], [5.0]).met


class TestAPeerThatIsNotThere:
    def test_misses_its_bar(self) -> None:
        assert not judged([30.0], None, "npm is not on this machine").met

    def test_is_told_with_the_reason(self) -> None:
        assert "npm is not on this machine" in judged([30.0], None, "npm is not on this machine").notes[0]

    def test_misses_its_bar_too_when_it_never_ended_a_round(self) -> None:
        assert not judged([30.0], [], "it ended early").met

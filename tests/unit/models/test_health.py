"""What a process knows of a deployment: latency that jumps up and fades, a breaker that opens, probes and closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interplay.core.models.health import BreakerState, LiveDeployment
from interplay.core.models.policy import Breaker
from interplay.core.models.registry import Connection, Deployment
from tests.unit.models.live import called

BREAKER = Breaker(failures=3, window=10.0, pause=5.0)


def live(concurrency: int | None = None, breaker: Breaker = BREAKER) -> LiveDeployment:
    return LiveDeployment(Deployment("c", "m", concurrency=concurrency), Connection("c"), breaker)


class TestLatency:
    def test_a_peak_counts_at_once_and_fades(self) -> None:
        one = live()
        called(one, 0.0, 0.1)
        called(one, 1.0, 3.0)
        assert one.ewma == 3.0
        called(one, 20.0, 0.1)
        assert 0.1 < one.ewma < 1.0

    def test_a_quick_failure_does_not_look_quick(self) -> None:
        one = live()
        called(one, 0.0, 0.001, "unavailable")
        assert one.ewma >= 1.0

    @pytest.mark.parametrize("outcome", ["cancelled", "slower"])
    def test_a_call_that_was_cut_off_took_at_least_as_long(self, outcome: str) -> None:
        one = live()
        called(one, 0.0, 0.2)
        called(one, 1.0, 3.0, outcome)
        assert one.ewma == 3.0
        called(one, 1.0, 0.1, outcome)
        assert one.ewma == 3.0

    def test_there_is_no_p95_before_there_are_calls_enough(self) -> None:
        one = live()
        called(one, 0.0, 0.1, times=19)
        assert one.p95() is None
        called(one, 0.0, 0.1)
        assert one.p95() == 0.1

    def test_the_p95_follows_the_last_calls(self) -> None:
        one = live()
        called(one, 0.0, 0.1, times=128)
        called(one, 1.0, 2.0, times=128)
        assert one.p95() == 2.0

    @given(st.lists(st.floats(0.001, 10.0), min_size=20, max_size=128))
    def test_the_p95_is_one_of_the_slow_ones(self, seconds: list[float]) -> None:
        one = live()
        for taken in seconds:
            called(one, 0.0, taken)
        p95 = one.p95()
        assert p95 is not None
        one._fresh = 99
        p95 = one.p95()
        assert p95 is not None
        assert sum(taken <= p95 for taken in seconds) >= 0.95 * len(seconds)


class TestBreaker:
    def test_it_opens_after_failures_within_the_window(self) -> None:
        one = live()
        called(one, 0.0, outcome="unavailable", times=2)
        assert one.available(0.2)
        called(one, 0.3, outcome="unavailable")
        assert one.state is BreakerState.OPEN
        assert not one.available(0.5)

    def test_failures_of_long_ago_do_not_count(self) -> None:
        one = live()
        called(one, 0.0, outcome="unavailable", times=2)
        called(one, 100.0, outcome="unavailable", times=2)
        assert one.available(100.5)

    def test_a_few_failures_among_many_answers_do_not_open_it(self) -> None:
        one = live()
        called(one, 0.0, times=50)
        called(one, 0.0, outcome="timeout", times=10)
        assert one.state is BreakerState.CLOSED

    @pytest.mark.parametrize("outcome", ["bad_request", "context_too_long", "content_filtered", "cancelled"])
    def test_what_the_request_is_to_blame_for_does_not_count(self, outcome: str) -> None:
        one = live()
        called(one, 0.0, outcome=outcome, times=50)
        assert one.state is BreakerState.CLOSED

    def test_after_the_pause_one_call_probes_it(self) -> None:
        one = live()
        called(one, 0.0, 0.0, "unavailable", times=3)
        assert not one.available(4.9)
        assert one.available(5.1)
        one.begin(5.1)
        assert one.state is BreakerState.HALF_OPEN
        assert not one.available(5.2)
        one.observe(5.3, 0.2, "ok")
        assert one.state is BreakerState.CLOSED
        assert one.available(5.3)

    def test_a_probe_that_fails_doubles_the_pause_up_to_eight_times(self) -> None:
        one, now = live(), 0.0
        called(one, now, 0.0, "unavailable", times=3)
        pauses = []
        for _ in range(6):
            pauses.append(one.rests_until - now)
            now = one.rests_until
            called(one, now, 0.0, "timeout")
        assert pauses == [5.0, 10.0, 20.0, 40.0, 40.0, 40.0]

    def test_a_probe_that_is_cancelled_lets_another_one_try(self) -> None:
        one = live()
        called(one, 0.0, 0.0, "unavailable", times=3)
        one.begin(6.0)
        one.observe(6.1, 0.1, "cancelled")
        assert one.available(6.2)

    def test_a_wish_to_wait_is_granted_without_more_failures(self) -> None:
        one = live()
        one.begin(0.0)
        one.observe(1.0, 1.0, "rate_limited", retry_after=7.0)
        assert not one.available(7.9)
        assert one.available(8.0)

    def test_a_wish_to_wait_for_ever_is_not(self) -> None:
        one = live()
        one.begin(0.0)
        one.observe(0.0, 0.0, "rate_limited", retry_after=1e9)
        assert one.available(301.0)


class TestRoom:
    def test_a_place_goes_to_whoever_waits_longest(self) -> None:
        one, woken = live(concurrency=1), list[str]()
        one.begin(0.0)
        one.wait(lambda: woken.append("first"))
        one.wait(lambda: woken.append("second"))
        one.observe(0.1, 0.1, "ok")
        assert woken == ["first"]
        assert one.inflight == 1
        assert one.full

    def test_it_is_full_while_somebody_waits(self) -> None:
        one = live(concurrency=2)
        one.begin(0.0)
        one.begin(0.0)
        one.wait(lambda: None)
        assert one.full
        one.observe(0.1, 0.1, "ok")
        assert one.full

    def test_one_that_gives_up_is_not_woken(self) -> None:
        one, woken = live(concurrency=1), list[str]()

        def wake() -> None:
            woken.append("woken")

        one.begin(0.0)
        one.wait(wake)
        assert one.give_up_waiting(wake)
        one.observe(0.1, 0.1, "ok")
        assert woken == []
        assert one.inflight == 0
        assert not one.give_up_waiting(wake)

    def test_a_raised_limit_lets_in_who_waits(self) -> None:
        one, woken = live(concurrency=1), list[str]()
        one.begin(0.0)
        one.wait(lambda: woken.append("woken"))
        one.adopt(Deployment("c", "m", concurrency=2), Connection("c"), BREAKER)
        assert woken == ["woken"]

    @given(st.integers(1, 4), st.lists(st.sampled_from(["come", "end"]), max_size=60))
    def test_never_more_are_in_than_there_is_room(self, most: int, acts: list[str]) -> None:
        one, inside = live(concurrency=most), [0]

        def enter() -> None:
            inside[0] += 1
            one.begin(0.0, placed=True)

        for act in acts:
            if act == "come" and one.full:
                one.wait(enter)
            elif act == "come":
                one.begin(0.0)
                inside[0] += 1
            elif inside[0]:
                inside[0] -= 1
                one.observe(0.0, 0.0, "ok")
            assert inside[0] == one.inflight <= most

    def test_whoever_gets_a_place_knows_how_the_call_before_it_ended(self) -> None:
        one = live(concurrency=1, breaker=Breaker(failures=1, pause=10.0))
        seen: list[bool] = []
        one.begin(0.0)
        one.wait(lambda: seen.append(one.available(1.0)))
        one.observe(1.0, 1.0, "unavailable")
        assert seen == [False]

    def test_a_long_line_that_gives_its_places_back_ends_at_once(self) -> None:
        one = live(concurrency=1)
        for _ in range(5_000):
            one.wait(one.leave)
        one.begin(0.0)
        one.observe(1.0, 1.0, "ok")
        assert (one.inflight, one.waiting) == (0, 0)

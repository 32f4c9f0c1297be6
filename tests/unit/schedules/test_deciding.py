"""Which fires are made when somebody looks late, and what they do when they meet a run."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.errors import InvalidInput
from interplay.core.schedules.deciding import GRACE, due_fires, meeting
from interplay.core.schedules.fires import fires
from interplay.core.schedules.inputs import fire_of, inputs_of
from interplay.core.schedules.schedule import CatchUp, Overlap, Schedule, checked, checked_name
from interplay.core.schedules.zones import zone_of

NOON = 1_774_785_600.0  # 2026-03-29T12:00:00Z
HOUR = 3600.0


def schedule(catch_up: CatchUp, most: int = 100, cron: str = "0 * * * *") -> Schedule:
    return Schedule(cron, "f", catch_up=catch_up, most=most)


def made(wanted: Schedule, next_at: float, now: float) -> tuple[list[float], float]:
    """All that is made at `now`, one after the other, and when it is due again."""
    found = []
    while next_at <= now:
        for due in due_fires(wanted, next_at, now, 50):
            assert due.was == next_at
            assert due.next_at > next_at
            if due.fire is not None:
                found.append(due.fire)
            next_at = due.next_at
    return found, next_at


class TestCatchUp:
    @pytest.mark.parametrize("catch_up", ["none", "last", "all"])
    def test_what_is_on_time_is_made_whatever_it_says(self, catch_up: CatchUp) -> None:
        assert made(schedule(catch_up), NOON, NOON + 2) == ([NOON], NOON + HOUR)
        assert made(schedule(catch_up), NOON, NOON + GRACE) == ([NOON], NOON + HOUR)

    @pytest.mark.parametrize(
        ("catch_up", "most", "expected"),
        [
            ("none", 100, []),
            ("last", 100, [NOON + 3 * HOUR]),
            ("all", 100, [NOON + n * HOUR for n in range(4)]),
            ("all", 2, [NOON + 2 * HOUR, NOON + 3 * HOUR]),
        ],
    )
    def test_after_an_outage_of_hours(self, catch_up: CatchUp, most: int, expected: list[float]) -> None:
        now = NOON + 3 * HOUR + 600
        assert made(schedule(catch_up, most), NOON, now) == (expected, NOON + 4 * HOUR)

    def test_the_last_is_the_one_that_is_on_time_if_there_is_one(self) -> None:
        now = NOON + 3 * HOUR + 5
        assert made(schedule("last"), NOON, now) == ([NOON + 3 * HOUR], NOON + 4 * HOUR)

    def test_the_first_of_those_given_up_is_told(self) -> None:
        assert due_fires(schedule("last"), NOON, NOON + 3 * HOUR + 600, 50)[0].missed == NOON
        assert due_fires(schedule("none"), NOON, NOON + 600, 50)[0].missed == NOON
        assert due_fires(schedule("all"), NOON, NOON + 3 * HOUR + 600, 50)[0].missed is None

    def test_years_of_minutes_are_no_work(self) -> None:
        found, _ = made(schedule("all", 1000, "* * * * *"), NOON - 10 * 365 * 86_400, NOON + 120)
        assert len(found) == 1002  # a thousand that were missed, and two on time

    @settings(deadline=None)
    @given(
        catch_up=st.sampled_from(["none", "last", "all"]),
        most=st.integers(1, 20),
        cron=st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *"]),
        late=st.floats(0, 86_400),
    )
    def test_each_is_made_once_in_order_and_none_that_should_be_is_left_out(
        self, catch_up: CatchUp, most: int, cron: str, late: float
    ) -> None:
        wanted = Schedule(cron, "f", zone="Europe/Berlin", catch_up=catch_up, most=most)
        next_at = next(fires(wanted.times, zone_of(wanted.zone), NOON - 40 * HOUR))
        now = next_at + late
        every = [
            next_at, *itertools.takewhile(lambda at: at <= now, fires(wanted.times, zone_of(wanted.zone), next_at))
        ]  # fmt: skip
        on_time = [at for at in every if at >= now - GRACE]
        missed = [at for at in every if at < now - GRACE]
        kept = {"none": [], "last": [] if on_time else missed[-1:], "all": missed[-most:]}[catch_up]
        found, again = made(wanted, next_at, now)
        assert found == kept + on_time
        assert again > now


class TestOverlap:
    @pytest.mark.parametrize(
        ("overlap", "open_runs", "waiting", "does"),
        [
            ("allow", 0, False, "run"),
            ("allow", 3, False, "run"),
            ("skip", 0, False, "run"),
            ("skip", 1, False, "skip"),
            ("cancel_other", 0, False, "run"),
            ("cancel_other", 2, False, "cancel"),
            ("queue", 0, False, "run"),
            ("queue", 1, False, "wait"),
            ("queue", 1, True, "skip"),
            ("queue", 0, True, "later"),
        ],
    )
    def test_what_a_fire_does(self, overlap: Overlap, open_runs: int, waiting: bool, does: str) -> None:
        assert meeting(overlap, open_runs, waiting) == does


class TestInputs:
    fire = fire_of("nightly", "Europe/Berlin", NOON, NOON + 1.25)

    def test_they_may_be_worked_out_of_the_fire(self) -> None:
        written = {
            "day": "${ fire.scheduled_for.substring(0, 10) }", "at": "$fire.at", "n": 3, "price": "$$5",
            "deep": {"names": ["$fire.name", "x"]},
        }  # fmt: skip
        assert inputs_of(written, self.fire) == {
            "day": "2026-03-29", "at": "2026-03-29T14:00:01.250+02:00", "n": 3, "price": "$5",
            "deep": {"names": ["nightly", "x"]},
        }  # fmt: skip

    @pytest.mark.parametrize("raw", ["$fire.when", "${ fire. }", "${ nothing }", "${ 1 / 0 }", "secret://key"])
    def test_what_cannot_be_is_said_with_its_place(self, raw: str) -> None:
        with pytest.raises(InvalidInput) as wrong:
            inputs_of({"x": raw}, self.fire)
        assert wrong.value.where == "inputs.x"


class TestSchedule:
    @pytest.mark.parametrize(
        ("where", "fields"),
        [
            ("cron", {"cron": "x"}),
            ("zone", {"zone": "Nowhere"}),
            ("version", {"channel": "prod", "version": "abcdef"}),
            ("overlap", {"overlap": "maybe"}),
            ("catch_up", {"catch_up": "some"}),
            ("most", {"most": 0}),
            ("most", {"most": 1001}),
            ("inputs", {"inputs": {"x": float("nan")}}),
        ],
    )
    def test_what_cannot_be_kept_is_said(self, where: str, fields: dict[str, object]) -> None:
        with pytest.raises(InvalidInput) as wrong:
            checked(Schedule(**{"cron": "* * * * *", "flow": "f", **fields}))  # type: ignore[arg-type]
        assert wrong.value.where == where

    @pytest.mark.parametrize("name", ["", "A", "a b", "-a", "a/b", "a" * 101])
    def test_names_are_plain(self, name: str) -> None:
        with pytest.raises(InvalidInput):
            checked_name(name)

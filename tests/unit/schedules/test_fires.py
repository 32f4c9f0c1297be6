"""When schedules fire: against the plainest reading of an expression, minute by minute."""

from __future__ import annotations

import contextlib
import functools
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interplay.core.errors import InvalidInput
from interplay.core.schedules.cron import parse_cron
from interplay.core.schedules.fires import fires, latest_fires, next_fire, shown
from interplay.core.schedules.zones import zone_of

# put forward and back by an hour at night, by half an hour, at midnight, a day left out, never
CHANGING = {
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Australia/Lord_Howe": ("2026-04-05", "2026-10-04"),
    "America/Asuncion": ("2023-10-01", "2024-03-24"),
    "Pacific/Apia": ("2011-12-29", "2011-12-31"),
    "Asia/Kolkata": ("2026-03-29", "2026-10-25"),
}
DAYS = [(zone, day) for zone, days in CHANGING.items() for day in days]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def shown_fires(cron: str, zone: str, after: str, count: int) -> list[str]:
    where = zone_of(zone)
    return [shown(at, where) for at in itertools.islice(fires(parse_cron(cron), where, moment(after)), count)]


def choices(most: int, low: int = 0) -> st.SearchStrategy[str]:
    number = st.integers(low, most)
    return st.one_of(
        st.just("*"),
        st.integers(2, 20).map(lambda step: f"*/{step}"),
        st.lists(number, min_size=1, max_size=3, unique=True).map(lambda found: ",".join(map(str, found))),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
    )


def held(field: str, most: int, low: int = 0) -> set[int]:
    """The values that a field has, read without the library."""
    found: set[int] = set()
    for term in field.split(","):
        bounds, _, step = term.partition("/")
        first, _, last = (f"{low}-{most}" if bounds == "*" else bounds).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


@functools.lru_cache
def calendar(name: str, day: str) -> list[tuple[datetime, float, float | None]]:
    """Every local minute of the days around one, with when the clocks first say it, and when again."""
    zone, begin = ZoneInfo(name), datetime.fromisoformat(day) - timedelta(days=3)
    said: dict[datetime, list[float]] = {}
    start = int(begin.replace(tzinfo=UTC).timestamp())
    for at in range(start - 2 * 86_400, start + 11 * 86_400, 60):
        said.setdefault(datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0), []).append(float(at))
    found: list[tuple[datetime, float, float | None]] = []
    following = float("inf")
    for minutes in reversed(range(8 * 1440)):
        moments = said.get(begin + timedelta(minutes=minutes), [following])  # none in a gap: the first behind it
        following = moments[0]
        found.append((begin + timedelta(minutes=minutes), moments[0], moments[1] if len(moments) > 1 else None))
    return found[::-1]


def plain_fires(minute: str, hour: str, place: tuple[str, str]) -> list[float]:
    """By asking each minute of the calendar whether it is one of them."""
    minutes, hours = held(minute, 59), held(hour, 23)
    chosen = [entry for entry in calendar(*place) if entry[0].minute in minutes and entry[0].hour in hours]
    found = {first for _, first, _ in chosen}
    if len(hours) == 24:
        found |= {second for _, _, second in chosen if second is not None}
    return sorted(found)


class TestExpressions:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("61 * * * *", "The minute '61'"),
            ("0 24 * * *", "The hour '24'"),
            ("0 0 32 * *", "The day of month '32'"),
            ("0 0 * 13 *", "The month '13'"),
            ("0 0 * * 8", "The day of week '8'"),
            ("* * * *", "has 4"),
            ("0 * * * * *", "has 6"),
            ("", "has 0"),
            ("0 0 30 2 *", "30"),
            ("@often", "no cron expression"),
            ("*/0 * * * *", r"minute '\*/0'"),
            ("0 0 31 2,4,6 *", "31"),
        ],
    )
    def test_what_is_wrong_is_said_with_what_may_be(self, text: str, words: str) -> None:
        with pytest.raises(InvalidInput, match=words) as wrong:
            parse_cron(text)
        assert wrong.value.where == "cron"
        assert wrong.value.advice

    @given(text=st.text(alphabet="0123456789*/,-#LW@ MONJA", max_size=30))
    def test_any_text_is_an_expression_or_a_sentence(self, text: str) -> None:
        with contextlib.suppress(InvalidInput):
            assert next_fire(parse_cron(text), ZoneInfo("UTC"), 1.7e9) > 1.7e9

    def test_names_stand_for_expressions(self) -> None:
        assert shown_fires("@daily", "UTC", "2026-01-01T00:00:00Z", 1) == ["2026-01-02T00:00:00+00:00"]

    def test_days_of_month_and_week_are_either_or(self) -> None:
        found = shown_fires("0 0 13 * 5", "UTC", "2026-02-01T00:00:00Z", 4)
        assert [day[5:10] for day in found] == ["02-06", "02-13", "02-20", "02-27"]

    def test_a_leap_day_comes_every_four_years(self) -> None:
        found = shown_fires("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2)
        assert [day[:10] for day in found] == ["2028-02-29", "2032-02-29"]


class TestZones:
    @pytest.mark.parametrize("name", ["Europe/Berlln", "Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "x\0y"])
    def test_one_that_is_not_there_is_said(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="no time zone") as wrong:
            zone_of(name)
        assert wrong.value.where == "zone"

    def test_near_names_are_told(self) -> None:
        with pytest.raises(InvalidInput) as wrong:
            zone_of("Europe/Berlln")
        assert "'Europe/Berlin'" in (wrong.value.advice or "")
        with pytest.raises(InvalidInput) as wrong:
            zone_of("Berlin")
        assert "'Europe/Berlin'" in (wrong.value.advice or "")


class TestClocksPutForward:
    def test_a_time_that_does_not_exist_fires_right_after_the_gap(self) -> None:
        found = shown_fires("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3)
        assert found == ["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]

    def test_several_such_times_fire_there_once(self) -> None:
        found = shown_fires("*/10 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2)
        assert found == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]

    def test_one_that_meets_another_fire_is_that_one(self) -> None:
        found = shown_fires("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2)
        assert found == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]

    def test_a_day_that_is_left_out_fires_at_the_next_midnight(self) -> None:
        found = shown_fires("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", 1)
        assert found == ["2011-12-31T00:00:00+14:00"]


class TestClocksPutBack:
    def test_a_time_that_comes_twice_fires_the_first_time(self) -> None:
        found = shown_fires("30 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", 2)
        assert found == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]

    def test_asked_in_between_it_is_over(self) -> None:
        found = shown_fires("30 2 * * *", "Europe/Berlin", "2026-10-25T02:40:00+02:00", 1)
        assert found == ["2026-10-26T02:30:00+01:00"]

    def test_every_half_hour_stays_every_half_hour(self) -> None:
        found = shown_fires("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00", 5)
        assert [at[11:] for at in found] == [
            "02:00:00+02:00", "02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00", "03:00:00+01:00",
        ]  # fmt: skip


class TestAgainstTheCalendar:
    @settings(deadline=None)  # the first of a day makes its calendar
    @given(
        minute=choices(59),
        hour=choices(23),
        place=st.sampled_from(DAYS),
        offset=st.integers(-26 * 3600, 26 * 3600),
    )
    def test_the_fires_of_the_days_around_a_change_are_those_of_the_calendar(
        self, minute: str, hour: str, place: tuple[str, str], offset: int
    ) -> None:
        zone, day = ZoneInfo(place[0]), datetime.fromisoformat(place[1])
        expected = plain_fires(minute, hour, place)
        begin = day.replace(tzinfo=zone).timestamp() + offset
        end = begin + 2 * 86_400
        cron = parse_cron(f"{minute} {hour} * * *")
        found = list(itertools.takewhile(lambda at: at <= end, fires(cron, zone, begin)))
        assert found == [at for at in expected if begin < at <= end]

    @given(
        minute=choices(59),
        hour=choices(23),
        day=choices(28, 1),
        weekday=choices(6),
        zone=st.sampled_from(list(CHANGING)),
        after=st.floats(1.3e9, 2.2e9),
    )
    def test_time_goes_on_and_fires_are_whole_minutes(
        self, minute: str, hour: str, day: str, weekday: str, zone: str, after: float
    ) -> None:
        cron = parse_cron(f"{minute} {hour} {day} * {weekday}")
        found = [after, *itertools.islice(fires(cron, ZoneInfo(zone), after), 20)]
        assert all(later > earlier for earlier, later in itertools.pairwise(found))
        assert all(at % 60 == 0 for at in found[1:])

    @settings(deadline=None)
    @given(minute=choices(59), hour=choices(23), most=st.integers(0, 50), span=st.integers(0, 200_000))
    def test_the_latest_are_the_end_of_all(self, minute: str, hour: str, most: int, span: int) -> None:
        cron, zone, since = parse_cron(f"{minute} {hour} * * *"), ZoneInfo("Europe/Berlin"), 1.774e9
        every = list(itertools.takewhile(lambda at: at < since + span, fires(cron, zone, since - 1e-3)))
        assert latest_fires(cron, zone, since, since + span, most) == (every[-most:] if most else [])


class TestTheFarFuture:
    @pytest.mark.parametrize("cron", ["0 0 29 2 */7", "0 0 1 1 *"])
    def test_it_ends_before_the_calendar_does(self, cron: str) -> None:
        found = list(itertools.islice(fires(parse_cron(cron), ZoneInfo("America/New_York"), 2.2e11), 5_000))
        assert found == sorted(found)
        assert next_fire(parse_cron(cron), ZoneInfo("UTC"), found[-1]) == float("inf")

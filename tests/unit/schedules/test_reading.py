"""Files of schedules."""

from __future__ import annotations

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.flows.parse import parse_flow
from interplay.core.schedules.reading import SCHEDULES
from interplay.core.schedules.schedule import Schedule

FILE = """schedules:
  nightly:
    cron: "30 2 * * *"
    flow: report
    inputs: {day: $fire.scheduled_for}
    paused: true
  hourly:
    cron: "@hourly"
    flow: report
"""


def test_what_is_written_is_read() -> None:
    nightly, hourly = SCHEDULES.read(FILE, "s.yaml")
    assert nightly.schedule == Schedule("30 2 * * *", "report", inputs={"day": "$fire.scheduled_for"})
    assert (nightly.name, nightly.paused, hourly.paused) == ("nightly", True, None)


def test_such_a_file_is_no_flow_and_a_flow_is_none() -> None:
    assert SCHEDULES.are_in(FILE)
    for text in ("flow: f\nsteps: {}\n", "schedules: {}\nflow: f\n", "- schedules\n", ""):
        assert not SCHEDULES.are_in(text)


@pytest.mark.parametrize(
    ("before", "after", "place", "words"),
    [
        ('"30 2 * * *"', '"30 25 * * *"', "s.yaml:3:", "hour '25'"),
        ("flow: report\n    inputs", "flw: report\n    inputs", "s.yaml:4:", "Did you mean 'flow'"),
        ("    flow: report\n    inputs", "    inputs", "s.yaml:", "flow"),
        ("  nightly:", "  Nightly Report:", "s.yaml:2:", "no name"),
        ("paused: true", "paused: 3", "s.yaml:6:", "true or false"),
        ("paused: true", "zone: Berlin", "s.yaml:6:", "Europe/Berlin"),
        ("paused: true", "overlap: maybe", "s.yaml:", "overlap"),
        ('  hourly:\n    cron: "@hourly"\n    flow: report\n', "  hourly: 3\n", "s.yaml:", "mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(before: str, after: str, place: str, words: str) -> None:
    assert before in FILE
    with pytest.raises(InvalidInput) as wrong:
        SCHEDULES.read(FILE.replace(before, after), "s.yaml")
    assert (wrong.value.where or "").startswith(place)
    assert words in str(wrong.value)


def test_inputs_must_fit_the_flow() -> None:
    nightly, hourly = SCHEDULES.read(FILE, "s.yaml")
    parsed = parse_flow("flow: report\ninputs: {day: string}\nsteps: {a: {set: {x: 1}}}\n").flow
    assert parsed is not None
    nightly.checked_for(parsed)
    with pytest.raises(InvalidInput, match=r"hourly: .*'day'") as wrong:
        hourly.checked_for(parsed)
    assert (wrong.value.where or "").startswith("s.yaml:7:")

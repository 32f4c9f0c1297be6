"""Files of triggers."""

from __future__ import annotations

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.triggers.reading import TRIGGERS
from interplay.core.triggers.trigger import Trigger

FILE = """triggers:
  reviews:
    topic: reviews
    flow: triage
    filter: ${ message.value.stars <= 3 }
    inputs: {text: $message.value.text}
    paused: true
  orders:
    topic: orders
    flow: count
"""


def test_what_is_written_is_read() -> None:
    reviews, orders = TRIGGERS.read(FILE, "t.yaml")
    expected = Trigger(
        "reviews", "triage", filter="${ message.value.stars <= 3 }", inputs={"text": "$message.value.text"}
    )
    assert reviews.trigger == expected
    assert (reviews.name, reviews.paused, orders.paused) == ("reviews", True, None)


def test_such_a_file_is_no_flow_and_a_flow_is_none() -> None:
    assert TRIGGERS.are_in(FILE)
    for text in ("flow: f\nsteps: {}\n", "triggers: {}\nflow: f\n", "- triggers\n", ""):
        assert not TRIGGERS.are_in(text)


@pytest.mark.parametrize(
    ("before", "after", "place", "words"),
    [
        ("topic: reviews", "topic: interplay.runs.v1", "t.yaml:3:", "Interplay's own"),
        ("topic: reviews", "topc: reviews", "t.yaml:3:", "Did you mean 'topic'"),
        ("    topic: reviews\n", "", "t.yaml:2:", "topic"),
        ("  reviews:", "  Shop Reviews:", "t.yaml:2:", "no name"),
        ("paused: true", "paused: 3", "t.yaml:7:", "true or false"),
        ("paused: true", "batch: 0", "t.yaml:7:", "1 to 1,000"),
        ("paused: true", "start: never", "t.yaml:7:", "never"),
        ("stars <= 3", "stars <=", "t.yaml:5:", ""),
        ("$message.value.text", "$mesage.value.text", "t.yaml:6:", "mesage"),
        ("  orders:\n    topic: orders\n    flow: count\n", "  orders: 3\n", "t.yaml:", "mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(before: str, after: str, place: str, words: str) -> None:
    assert before in FILE
    with pytest.raises(InvalidInput) as wrong:
        TRIGGERS.read(FILE.replace(before, after, 1), "t.yaml")
    assert (wrong.value.where or "").startswith(place), wrong.value.where
    assert words in str(wrong.value)

"""Webhooks as a file holds them."""

from __future__ import annotations

import pytest

from interplay.core.errors import InvalidInput
from interplay.core.webhooks.reading import WEBHOOKS
from interplay.core.webhooks.webhook import ENDS


def test_what_a_file_says_is_read() -> None:
    text = "webhooks:\n  a: {url: 'https://x.example/in', events: [run.died], paused: true}\n  b: {url: http://y.example}\n"
    assert WEBHOOKS.are_in(text)
    first, second = WEBHOOKS.read(text, "f.yaml")
    assert (first.name, first.webhook.events, first.paused) == ("a", ("run.died",), True)
    assert (second.webhook.events, second.webhook.flows, second.paused) == (ENDS, None, None)
    assert not WEBHOOKS.are_in("flow: a\nsteps: {}\n")


@pytest.mark.parametrize(
    ("body", "place", "words"),
    [
        ("{url: 'ftp://x'}", "f.yaml:2:", "no address"),
        ("{url: 'https://x.example', evnts: [run.died]}", "f.yaml:2:", "events"),
        ("{url: 'https://x.example', events: [run.dead]}", "f.yaml:2:", "run.dead"),
        ("{events: [run.died]}", "f.yaml:2:", "url"),
        ("{url: 'https://x.example', paused: 7}", "f.yaml:2:", "paused"),
        ("7", "f.yaml:2:", "mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(body: str, place: str, words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        WEBHOOKS.read(f"webhooks:\n  a: {body}\n", "f.yaml")
    assert str(refused.value.where).startswith(place)
    assert words in str(refused.value)

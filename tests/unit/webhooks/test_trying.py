"""What an answer of a receiver means."""

from __future__ import annotations

import pytest

from interplay.core.webhooks.trying import (
    JITTER,
    LONGEST_REST,
    LONGEST_WISH,
    REST_AFTER,
    WAITS,
    Heard,
    excerpt,
    resting,
    retry_after,
    verdict,
)


class TestVerdict:
    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_what_was_taken_is_delivered(self, status: int) -> None:
        assert verdict(Heard(status), 1, 0.5).state == "delivered"

    @pytest.mark.parametrize("heard", [Heard(500), Heard(302), Heard(400), Heard(404), Heard(None, "It is away.")])
    def test_whatever_else_is_tried_again_after_longer_and_longer_waits(self, heard: Heard) -> None:
        waits = [verdict(heard, attempt, 0.5) for attempt in range(1, len(WAITS) + 1)]
        assert [(one.state, one.after) for one in waits] == [("waits", wait) for wait in WAITS]
        last = verdict(heard, len(WAITS) + 1, 0.5)
        assert (last.state, last.gone) == ("dead", False)
        assert "the last" in (last.detail or "")

    def test_those_that_failed_together_do_not_come_back_together(self) -> None:
        early, late = verdict(Heard(500), 1, 0.0).after, verdict(Heard(500), 1, 0.999999).after
        assert (early, late) == (pytest.approx(WAITS[0] * (1 - JITTER)), pytest.approx(WAITS[0] * (1 + JITTER)))

    def test_who_is_gone_is_called_no_more(self) -> None:
        found = verdict(Heard(410), 1, 0.5)
        assert (found.state, found.gone) == ("dead", True)

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_wish_to_come_later_is_the_receivers_and_has_a_bound(self, status: int) -> None:
        found = verdict(Heard(status, retry_after=90.0), 1, 0.5)
        assert (found.after, found.rest) == (90.0, 90.0)
        assert verdict(Heard(status, retry_after=1.0), 1, 0.5).after == WAITS[0], "never sooner than by itself"
        assert verdict(Heard(status, retry_after=1e9), 1, 0.5).after == LONGEST_WISH

    def test_of_another_status_it_is_about_this_message_only(self) -> None:
        found = verdict(Heard(500, retry_after=90.0), 1, 0.5)
        assert (found.after, found.rest) == (90.0, 0.0)


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("12", 12.0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 37.0),
            ("Sun, 06 Nov 1994 08:48:00 GMT", 0.0),
            ("", None),
            ("soon", None),
            ("-1", None),
            ("9" * 30, None),
            ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ],
    )
    def test_is_seconds_or_a_date(self, text: str, seconds: float | None) -> None:
        assert retry_after({"retry-after": text}, 784111740.0) == seconds


def test_rests_grow_to_a_bound() -> None:
    assert [resting(n) for n in range(REST_AFTER)] == [0.0] * REST_AFTER
    rests = [resting(n) for n in range(REST_AFTER, REST_AFTER + 8)]
    assert rests == sorted(rests)
    assert rests[-1] == LONGEST_REST == resting(10**6)


def test_what_is_kept_of_an_answer_is_short_and_text() -> None:
    assert excerpt(b"  no\n\x00room \xff") == "no room \ufffd"
    assert len(excerpt(b"x" * 100_000)) == 200

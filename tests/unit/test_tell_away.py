"""What is said of a part that does not get on: its reason always, a line in the log now and then."""

from __future__ import annotations

import logging

import pytest

from interplay.core.errors import Unavailable
from interplay.use_cases.tell_away import TellAway

LOG = logging.getLogger("interplay.test")


class TestTellAway:
    def test_one_line_however_often_it_is_met_and_one_when_it_is_over(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "interplay.test")
        away = TellAway(LOG, "events wait")
        for _ in range(1000):
            away.met(Unavailable("The broker does not answer."))
        assert away.reason == "The broker does not answer."
        away.over()
        away.over()
        assert away.reason is None
        assert [record.getMessage() for record in caplog.records] == [
            "events wait: The broker does not answer.",
            "events wait: it is over",
        ]

    def test_a_defect_is_told_with_where_it_happened(self, caplog: pytest.LogCaptureFixture) -> None:
        away = TellAway(LOG, "events wait")
        away.met(KeyError("x"))
        assert away.reason == "A defect: KeyError: 'x'"
        assert caplog.records[0].exc_info is not None
        assert caplog.records[0].exc_info[0] is KeyError

"""What all triggers do: what they say about dead messages."""

from __future__ import annotations

import logging

import pytest

from interplay.use_cases.trigger_work import _Lines


class TestLines:
    def test_some_dead_messages_of_a_minute_are_logged_and_the_rest_are_counted(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        now = 100.0
        lines = _Lines("reviews", lambda: now)
        with caplog.at_level(logging.WARNING, "interplay.triggers"):
            for number in range(5_000):
                lines.dead(f"reviews:0:{number}", "it is no JSON")
            assert len(caplog.records) == 10
            assert "reviews:0:9 is dead: it is no JSON" in caplog.messages[-1]
            now = 161.0
            lines.settle()
            assert "4,990 more" in caplog.messages[-1]
            lines.settle()
            assert len(caplog.records) == 11
            lines.dead("reviews:0:5000", "it is no JSON")
            assert "reviews:0:5000" in caplog.messages[-1]

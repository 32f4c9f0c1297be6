"""The score counts every scenario: one that nobody plays would pass unseen."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.gateway.score import SCENARIOS, Played, Tally, passed_of, table

PLAYS = re.compile(r'^    @scenario\("([^"]+)"\)$', re.MULTILINE)


class TestScenarios:
    def test_each_is_played_and_none_is_unknown(self) -> None:
        files = Path(__file__).parent.glob("test_*.py")
        assert {name for file in files for name in PLAYS.findall(file.read_text())} == set(SCENARIOS)


class TestTheScore:
    def test_a_scenario_passes_only_where_all_that_play_it_do(self) -> None:
        played = [Played("500", "protocol", True, Tally()), Played("500", "asgi", False, Tally())]
        assert passed_of(played) == (set(), {"500"})
        assert passed_of(played[:1]) == ({"500"}, {"500"})

    def test_faces_that_did_the_same_share_a_row(self) -> None:
        tally = Tally(saw=["200 whole", "200 whole"], accounted=["ok 7+5"])
        rows = table([Played("500", face, True, tally) for face in ("protocol", "asgi")])
        assert [row.split() for row in rows[1:]] == [
            ["500", "protocol", "asgi", "200", "whole", "×2", "none", "ok", "7+5", "passed"]
        ]

"""What commands print through a pipe."""

from __future__ import annotations

import pytest

from interplay.cli.output import print_table


class TestATableThroughAPipe:
    def test_has_its_headings_and_tabs(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_table(["run", "status"], [["r1", "failed"], ["r2", None]])
        assert capsys.readouterr().out == "run\tstatus\nr1\tfailed\nr2\t\n"

    def test_has_its_headings_where_there_is_nothing_to_list(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_table(["run", "status"], [])
        assert capsys.readouterr().out == "run\tstatus\n"

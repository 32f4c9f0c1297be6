"""What checks everything else is checked too.

Why: a test runner that forgets a folder or swallows a failure makes every other rule worthless.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tools.run_phases import (
    Outcome,
    Phase,
    counts,
    environment_of_tests,
    phases_of,
    run,
    static_phases,
    suites,
    summarize,
)

REPORT = '<testsuites><testsuite tests="7" failures="1" errors="1" skipped="2"></testsuite></testsuites>'


class TestContinuousIntegration:
    def test_it_runs_the_test_command_of_the_documents_and_nothing_else(self) -> None:
        lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
        assert lines == ["#!/usr/bin/env bash", "set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]

    def test_its_scripts_can_be_started(self) -> None:
        assert os.access(ROOT / ".ci" / "run", os.X_OK)
        assert os.access(ROOT / "tools" / "bootstrap", os.X_OK)


class TestPhases:
    def test_every_folder_of_tests_is_run(self) -> None:
        folders = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
        assert set(suites()) == folders
        titles = [phase.title for phase in phases_of("test")]
        assert [f"{name} tests" for name in suites()] == titles[len(static_phases()) :]

    def test_the_fast_ones_are_part_of_both(self) -> None:
        check = [phase.title for phase in phases_of("check")]
        assert check == ["format", "lint", "types", "imports", "architecture tests", "unit tests"]
        assert [phase.title for phase in phases_of("test")][: len(check)] == check

    def test_the_users_own_settings_do_not_reach_the_tests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTERPLAY_DATABASE_URL", "postgresql://elsewhere")
        assert "INTERPLAY_DATABASE_URL" not in environment_of_tests()
        assert "PATH" in environment_of_tests()

    def test_the_settings_of_the_tests_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTERPLAY_TEST_OUTAGE", "60")
        assert environment_of_tests()["INTERPLAY_TEST_OUTAGE"] == "60"


class TestCounts:
    def test_they_are_those_of_the_report(self, tmp_path: Path) -> None:
        report = tmp_path / "report.xml"
        report.write_text(REPORT, encoding="utf-8")
        assert counts(report) == (3, 2, 2)

    def test_a_report_that_is_not_there_counts_nothing(self, tmp_path: Path) -> None:
        assert counts(tmp_path / "absent.xml") == (0, 0, 0)


class TestFailures:
    def test_a_failed_command_is_a_failed_phase(self) -> None:
        outcome = run(Phase("broken", [sys.executable, "-c", "raise SystemExit(5)"]), dict(os.environ))
        assert outcome.code == 5

    def test_a_report_of_an_earlier_run_does_not_count(self, tmp_path: Path) -> None:
        report = tmp_path / "report.xml"
        report.write_text(REPORT, encoding="utf-8")
        outcome = run(Phase("crashed", [sys.executable, "-c", "raise SystemExit(1)"], report), dict(os.environ))
        assert (outcome.passed, outcome.failed) == (0, 0)

    def test_one_failed_phase_fails_the_whole(self, capsys: pytest.CaptureFixture[str]) -> None:
        outcomes = [Outcome("unit", 1.0, 0, passed=3), Outcome("lint", 0.1, 1)]
        assert summarize(outcomes) == 1
        said = capsys.readouterr().out
        assert "Failed: lint" in said
        assert said.rstrip().endswith("3 passed, 0 failed, 0 skipped")

    def test_nothing_failed_passes(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert summarize([Outcome("unit", 1.0, 0, passed=3)]) == 0
        assert "Failed" not in capsys.readouterr().out

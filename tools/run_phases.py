"""Runs the checks and tests of this repository phase by phase, and says what each took.

    python -m tools.run_phases check | test | e2e

A failed phase does not stop the others: one run shows everything that is wrong. The
last line counts all tests. Exit code 0 when every phase passed, else 1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORTS = ROOT / ".cache" / "reports"
FIRST = ("architecture", "unit")  # fast: part of `make check`
SPREAD = ("services", "conformance")  # a file of these to whichever process is free: each has a server of its own
LAST = ("faults", "acceptance")  # slow: run when all else was seen
OUTSIDE = ("acceptance", "e2e")  # use the product as its users do


@dataclass(frozen=True)
class Phase:
    """One command with a title. `report` is where pytest writes its counts, if it is pytest."""

    title: str
    command: list[str]
    report: Path | None = None


@dataclass(frozen=True)
class Outcome:
    title: str
    seconds: float
    code: int
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def static_phases() -> list[Phase]:
    """What is checked without running the product."""
    run = [sys.executable, "-m"]
    return [
        Phase("format", [*run, "ruff", "format", "--check", "."]),
        Phase("lint", [*run, "ruff", "check", "."]),
        Phase("types", [*run, "mypy"]),
        Phase("imports", [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]),
    ]


def suites() -> list[str]:
    """Every folder of `tests` that holds tests: fast ones first, slow ones last."""
    found = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    middle = sorted(found - {*FIRST, *LAST})
    return [name for name in (*FIRST, *middle, *LAST) if name in found]


def suite_phase(name: str) -> Phase:
    report = REPORTS / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", f"tests/{name}", "--durations=5", f"--junitxml={report}", "-q"]
    command += ["-n", "auto"] if name in FIRST else []  # these share no server
    command += ["-n", "auto", "--dist", "loadfile"] if name in SPREAD else []
    return Phase(f"{name} tests", command, report)


def phases_of(plan: str) -> list[Phase]:
    if plan == "e2e":
        return [suite_phase(name) for name in suites() if name in OUTSIDE]
    chosen = suites() if plan == "test" else [name for name in suites() if name in FIRST]
    return [*static_phases(), *(suite_phase(name) for name in chosen)]


def run(phase: Phase, environment: dict[str, str]) -> Outcome:
    print(f"\n━━━ {phase.title} ━━━", flush=True)
    if phase.report is not None:
        phase.report.unlink(missing_ok=True)
    begun = time.monotonic()
    code = subprocess.run(phase.command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False).returncode
    seconds = time.monotonic() - begun
    print(
        f"━━━ {phase.title}: {'passed' if code == 0 else f'FAILED (exit code {code})'} in {seconds:.1f} s", flush=True
    )
    return Outcome(phase.title, seconds, code, *counts(phase.report))


def counts(report: Path | None) -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped, of pytest's report."""
    if report is None or not report.exists():
        return 0, 0, 0
    tests = failed = skipped = 0
    for suite in ElementTree.parse(report).iter("testsuite"):
        tests += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return tests - failed - skipped, failed, skipped


def environment_of_tests() -> dict[str, str]:
    """The user's environment without their own settings of the product; those of the tests stay."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("INTERPLAY_") or name.startswith("INTERPLAY_TEST_")
    }


def summarize(outcomes: list[Outcome]) -> int:
    print("\n━━━ summary ━━━")
    for outcome in outcomes:
        word = "passed" if outcome.code == 0 else "FAILED"
        tests = outcome.passed + outcome.failed + outcome.skipped
        detail = f"{outcome.passed} of {tests} tests" if tests else ""
        print(f"  {outcome.title:<22} {word}  {outcome.seconds:7.1f} s  {detail}")
    seconds = sum(outcome.seconds for outcome in outcomes)
    print(f"  {'all':<22} {'':6}  {seconds:7.1f} s")
    passed, failed, skipped = (sum(getattr(o, name) for o in outcomes) for name in ("passed", "failed", "skipped"))
    broken = [outcome.title for outcome in outcomes if outcome.code != 0]
    if broken:
        print(f"\nFailed: {', '.join(broken)}")
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if broken else 0


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in {"check", "test", "e2e"}:
        print(__doc__, file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    phases = phases_of(arguments[0])
    if not phases:
        print(f"no tests for {arguments[0]!r} in this checkout", file=sys.stderr)
        return 1
    environment = environment_of_tests()
    return summarize([run(phase, environment) for phase in phases])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

"""The table at the end: what each scenario made the caller see, the upstreams do and the accounts say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.services.gateway.raw_upstream import RawUpstream

# every scenario that a gateway has to pass; each is played by at least one test
SCENARIOS = (
    "429 with Retry-After",
    "429 without Retry-After",
    "500",
    "529",
    "connection refused",
    "reset before headers",
    "reset after headers",
    "silent upstream",
    "slow first token",
    "stream cut mid-way",
    "stream stalled",
    "malformed chunk",
    "missing [DONE]",
    "usage absent",
    "context too long",
    "content filter",
    "wrong content type",
    "flapping primary",
    "client gone before",
    "client gone during",
    "oversized body",
    "invalid JSON",
    "unknown model",
    "key flood",
    "kill -9 under load",
    "database away",
    "slow reader",
    "1,000 streams at once",
)
_TITLES = ("scenario", "face", "the caller saw", "upstream calls", "accounted", "figures", "")
_WIDEST = 58


@dataclass
class Tally:
    """What one test saw. `upstreams`: in the order of the route."""

    saw: list[str] = field(default_factory=list)
    upstreams: list[RawUpstream] = field(default_factory=list)
    accounted: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)


@dataclass
class Played:
    scenario: str
    face: str
    passed: bool
    tally: Tally

    def cells(self) -> tuple[str, ...]:
        calls = " + ".join(str(upstream.calls) for upstream in self.tally.upstreams) or "none"
        told = (counted(self.tally.saw), calls, counted(self.tally.accounted) or "nothing")
        return (self.scenario, self.face, *told, "; ".join(self.tally.figures), "passed" if self.passed else "FAILED")


def counted(things: Sequence[str]) -> str:
    """Equal ones together: `200 whole ×12, 503 unavailable`."""
    numbers: dict[str, int] = {}
    for thing in things:
        numbers[thing] = numbers.get(thing, 0) + 1
    return ", ".join(thing if number == 1 else f"{thing} ×{number}" for thing, number in numbers.items())


def table(played: Iterable[Played]) -> list[str]:
    """Faces that did the same share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for row in played:
        scenario, face, *rest = row.cells()
        rows.setdefault((scenario, *rest), []).append(face)
    cells = [(row[0], " ".join(dict.fromkeys(faces)), *row[1:]) for row, faces in rows.items()]
    cells.sort(key=lambda row: SCENARIOS.index(row[0]) if row[0] in SCENARIOS else len(SCENARIOS))
    shown = [_TITLES, *([short(cell) for cell in row] for row in cells)]
    widths = [max(len(row[place]) for row in shown) for place in range(len(_TITLES))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]


def short(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 1]}…"


def passed_of(played: Iterable[Played]) -> tuple[set[str], set[str]]:
    """The scenarios that passed wherever they were played, and all that were played."""
    every = list(played)
    seen = {row.scenario for row in every}
    return seen - {row.scenario for row in every if not row.passed}, seen

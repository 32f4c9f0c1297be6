"""Figures with their spread, bars, and the file that keeps them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Figure:
    """`value` is the median over rounds, `spread` the least and the most."""

    system: str
    metric: str
    unit: str
    value: float
    spread: tuple[float, float]


@dataclass(frozen=True)
class Bar:
    name: str
    bar: str
    value: float
    met: bool


@dataclass
class Result:
    """`rows`: a table of words, where figures are not all that was found."""

    scenario: str
    figures: list[Figure] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)

    def figure(self, system: str, metric: str, unit: str, rounds: Sequence[float]) -> float:
        value = statistics.median(rounds)
        self.figures.append(Figure(system, metric, unit, value, (min(rounds), max(rounds))))
        return value

    def at_least(self, name: str, value: float, bar: float) -> None:
        self.bars.append(Bar(name, f">= {bar:g}", value, value >= bar))

    def at_most(self, name: str, value: float, bar: float) -> None:
        self.bars.append(Bar(name, f"<= {bar:g}", value, value <= bar))

    @property
    def met(self) -> bool:
        return all(bar.met for bar in self.bars)

    def save(self) -> Path:
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.scenario}.json"
        made: dict[str, object] = {
            "scenario": self.scenario,
            "commit": _commit(),
            "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
            "versions": {"interplay": metadata.version("interplay"), **self.versions},
            "figures": [asdict(figure) for figure in self.figures],
            "bars": [asdict(bar) for bar in self.bars],
            "notes": self.notes,
        }
        if self.rows:
            made["rows"] = self.rows
        path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def show(self) -> None:
        print(f"\n{self.scenario}")
        widths = [max(map(len, column)) for column in zip(*(row.values() for row in self.rows), strict=True)]
        for row in self.rows:
            print(
                "  " + "  ".join(cell.ljust(width) for cell, width in zip(row.values(), widths, strict=True)).rstrip()
            )
        for figure in self.figures:
            low, high = figure.spread
            name = f"  {figure.system:<12} {figure.metric:<40}"
            print(f"{name} {figure.value:>12,.2f} {figure.unit:<8} ({low:,.2f} to {high:,.2f})")
        for bar in self.bars:
            print(f"  {'met   ' if bar.met else 'MISSED'} {bar.name:<50} {bar.bar:>12}  {bar.value:,.2f}")
        for note in self.notes:
            print(f"  {note}")


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return done.stdout.strip()

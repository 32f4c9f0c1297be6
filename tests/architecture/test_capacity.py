"""The figures of the page on capacity are those of the results that it names: it cannot go stale unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "howto" / "plan-capacity.md"
# What the page says, of which metric, rounded to how many: 2,963 of the results is 3,000 of the page.
SAID = [
    ("engine", "durable steps, 64 runs at once", "26,000 steps/s", 1000),
    ("engine", "one run of five steps, created to end", "1.9 ms", 0.1),
    ("flow-http", "runs through HTTP, 32 callers", "1,400 runs/s", 100),
    ("gateway", "32 connections", "6,200 answers/s", 100),
    ("gateway", "32 connections, processor time", "0.15 ms", 10),
    ("kafka", "messages made runs, nobody executing them", "13,300 a second", 100),
    ("kafka", "topic to topic: trigger, run of two steps, sink", "3,600 a second", 100),
    ("scale", "a claim of 64 with 1,000 queued", "1.4 ms", 0.1),
    ("scale", "a claim of 64 with 1,000,000 queued", "1.6 ms", 0.1),
    ("scale", "runs/s with 5,000 queued", "3,000", 100),
    ("scale", "runs/s with 1,000,000 queued", "2,600", 100),
    ("takeover", "kill -9 to the first new commit", "10.2 s", 0.1),
]


@pytest.mark.parametrize(("scenario", "metric", "said", "to"), SAID, ids=lambda value: str(value))
def test_a_figure_is_that_of_its_result(scenario: str, metric: str, said: str, to: float) -> None:
    results = json.loads((ROOT / "benchmarks" / "results" / f"{scenario}.json").read_text(encoding="utf-8"))
    values = [f["value"] for f in results["figures"] if (f["system"], f["metric"]) == ("interplay", metric)]
    number = float(said.split()[0].replace(",", ""))
    unit = 1000 if metric.endswith("processor time") else 1  # the page has milliseconds
    assert [round(value / to) for value in values] == [round(number * unit / to)]
    assert said in PAGE.read_text(encoding="utf-8")

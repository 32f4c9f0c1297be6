"""A run's graph as text: a bar a step on one time axis, the critical path marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

WIDTH = 40
_MOST = 40  # steps drawn


def draw(view: Mapping[str, Any]) -> list[str]:
    """Lines for the steps that took time; at most `_MOST` of them, the longest."""
    steps = [s for s in view["steps"] if s["started_at"] is not None and s["seconds"] > 0]
    steps = sorted(sorted(steps, key=lambda s: -float(s["seconds"]))[:_MOST], key=lambda s: float(s["started_at"]))
    if not steps:
        return []
    begin = min(float(s["started_at"]) for s in steps)
    span = max(float(s["started_at"]) + float(s["seconds"]) for s in steps) - begin or 1.0
    longest = max(len(str(s["step"])) for s in steps)
    critical = set(view["critical_path"])
    lines = []
    for entry in steps:
        left = int((float(entry["started_at"]) - begin) / span * WIDTH)
        size = max(1, round(float(entry["seconds"]) / span * WIDTH))
        fill = "█" if entry["step"] in critical else "▒"
        bar = (" " * min(left, WIDTH - 1) + fill * size)[:WIDTH]
        lines.append(f"{entry['step']:<{longest}} │{bar:<{WIDTH}}│ {float(entry['seconds']):.3f} s")
    return [*lines, f"{'':<{longest}}  █ critical path"]

"""What commands print: tables and colour for people, JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from interplay.core.flows.problems import Place, Problem

COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "dead": "red",
    "cancelled": "yellow",
    "skipped": "dim",
    "running": "cyan",
    "waiting": "magenta",
    "queued": "blue",
}


def console() -> Console:
    """Standard output; plain when it is not a terminal.

    What it prints is never read as markup: names, answers and errors come from outside. Colour is put on with `Text`.
    """
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=not sys.stdout.isatty())


def complain(text: str) -> None:
    print(f"interplay: {text}" if not text.startswith("  ") else text, file=sys.stderr)


def problem_text(problem: Mapping[str, Any]) -> str:
    """A problem as a server tells it: with its place in a file where it has one, and else with its path alone."""
    place = Place(problem.get("file") or "", problem.get("line") or 0, problem.get("column") or 0)
    said = {name: problem.get(name) for name in ("expected", "suggestion")}
    return str(
        Problem(problem.get("code") or "", problem.get("message") or "", problem.get("path") or "", place, **said)
    )


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], whole: Sequence[str] = ()) -> None:
    """Through a pipe the same columns with tabs between them, the headings in the first line.

    `whole`: columns that are never broken, such as ids that people copy.
    """
    rows = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        table.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in row))
    console().print(table)


def ago(moment: float | None) -> str:
    if moment is None:
        return ""
    seconds = max(0.0, time.time() - moment)
    return f"{duration(seconds)} ago"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def in_words(moment: float | None) -> str:
    """`in 4.0 h`, for a deadline."""
    return "" if moment is None else f"in {duration(max(0.0, moment - time.time()))}"


def value_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

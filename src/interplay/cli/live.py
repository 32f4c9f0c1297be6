"""A run as it happens, in a terminal: steps as they go, tokens as they come. Plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from interplay.cli.output import COLOURS, console, duration

_SHOWN = {
    "step.succeeded": "succeeded",
    "step.failed": "failed",
    "step.skipped": "skipped",
    "step.cancelled": "cancelled",
    "step.retrying": "retrying",
    "step.waiting": "waiting",
}
_MARKS = {"succeeded": "✓", "failed": "✗", "skipped": "–", "cancelled": "×", "retrying": "↻", "waiting": "…"}


class LiveRun:
    """Prints events. Tokens go to their own lines on a terminal, and nowhere otherwise."""

    def __init__(self) -> None:
        self._console = console()
        self._terminal = sys.stdout.isatty()
        self._streaming: str | None = None
        self._began = time.monotonic()

    def show(self, event: dict[str, Any]) -> None:
        kind = str(event.get("type"))
        if kind == "step.delta":
            self._delta(event)
            return
        if kind == "step.restarted" and self._streaming == event.get("step"):
            self._end_stream()
            self._console.print(
                f"  [dim]{event['step']}: starts again[/]" if self._terminal else f"{event['step']}: starts again"
            )
            return
        status = _SHOWN.get(kind)
        if status is not None:
            self._end_stream()
            self._console.print(self._line(status, event))

    def _delta(self, event: dict[str, Any]) -> None:
        if not self._terminal:
            return
        if self._streaming != event["step"]:
            self._end_stream()
            self._streaming = str(event["step"])
            self._console.print(f"  [bold]{self._streaming}[/] ", end="")
        self._console.print(str(event["text"]), end="", markup=False)

    def _end_stream(self) -> None:
        if self._streaming is not None:
            self._console.print()
            self._streaming = None

    def _line(self, status: str, event: dict[str, Any]) -> str:
        step, parts = str(event.get("step")), []
        if event.get("seconds") and status != "waiting":
            parts.append(duration(float(event["seconds"])))
        if event.get("via"):
            parts.append(str(event["via"]))
        if status == "retrying":
            parts.append(f"attempt {event.get('attempt')}: {event['failure']['detail']}")
        elif status == "failed":
            parts.append(str(event["failure"]["detail"]))
        elif status == "skipped":
            parts.append(
                "its condition was false" if event.get("reason") == "when" else f"{event.get('because')} is absent"
            )
        elif status == "waiting":
            parts.append(f"for {event.get('what')} {event.get('name') or ''}".strip())
        text = " · ".join(parts)
        if not self._terminal:
            return f"{_MARKS[status]} {step}  {text}".rstrip()
        colour = COLOURS.get(status, "yellow")
        return f"  [{colour}]{_MARKS[status]}[/] {step}  [dim]{_escaped(text)}[/]"


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")

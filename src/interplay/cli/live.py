"""A run as it happens, in a terminal: steps as they go, tokens as they come. Plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from rich.status import Status
from rich.text import Text

from interplay.cli.output import COLOURS, console, duration, in_words

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
    """Prints events. On a terminal tokens go to lines of their own, and a line at the end says that it goes on.

    Use it as a context manager: that line goes with it.
    """

    def __init__(self, run_id: str) -> None:
        self._run = run_id
        self._console = console()
        self._terminal = sys.stdout.isatty()
        self._streaming: str | None = None
        self._done = 0
        self._status: Status | None = None

    def __enter__(self) -> LiveRun:
        if self._terminal:
            self._status = self._console.status(Text("waiting for the first step"))
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end_stream()
        if self._status is not None:
            self._status.stop()

    def show(self, event: Mapping[str, Any]) -> None:
        kind = str(event.get("type"))
        if kind == "step.delta":
            self._delta(event)
            return
        if kind == "step.restarted" and self._streaming == event.get("step"):
            self._end_stream()
            self._console.print(f"{'  ' if self._terminal else ''}{event['step']}: starts again")
            return
        status = _SHOWN.get(kind)
        if status is not None:
            self._end_stream()
            self._console.print(self._line(status, event))
            self._done += status in ("succeeded", "failed", "skipped", "cancelled")
            if self._status is not None:
                self._status.update(Text(f"{self._done} step{'' if self._done == 1 else 's'} done, going on"))

    def _delta(self, event: Mapping[str, Any]) -> None:
        if not self._terminal:
            return
        if self._streaming != event["step"]:
            self._end_stream()
            self._streaming = str(event["step"])
            if self._status is not None:
                self._status.stop()
            self._console.print(Text(f"  {self._streaming} ", "bold"), end="")
        self._console.print(str(event["text"]), end="")

    def _end_stream(self) -> None:
        if self._streaming is not None:
            self._console.print()
            self._streaming = None
            if self._status is not None:
                self._status.start()

    def _line(self, status: str, event: Mapping[str, Any]) -> Text:
        step, text = str(event.get("step")), " · ".join(self._parts(status, event))
        if not self._terminal:
            return Text(f"{_MARKS[status]} {step}  {text}".rstrip())
        colour = COLOURS.get(status, "yellow")
        return Text.assemble("  ", (_MARKS[status], colour), f" {step}  ", (text, "dim"))

    def _parts(self, status: str, event: Mapping[str, Any]) -> list[str]:
        parts = []
        if event.get("seconds") and status != "waiting":
            parts.append(duration(float(event["seconds"])))
        if event.get("via"):
            parts.append(str(event["via"]))
        if status == "retrying":
            parts.append(f"attempt {event.get('attempt')}: {event['failure']['detail']}")
        elif status == "failed":
            parts.append(str(event["failure"]["detail"]))
        elif status == "cancelled" and event.get("reason"):
            parts.append(str(event["reason"]))
        elif status == "skipped":
            absent = f"{event.get('because')} is absent"
            parts.append("its condition was false" if event.get("reason") == "when" else absent)
        elif status == "waiting":
            parts += _waiting(self._run, event)
        return parts


def _waiting(run: str, event: Mapping[str, Any]) -> list[str]:
    """What it waits for, and what ends the wait."""
    until = in_words(event.get("until"))
    if event.get("what") == "approval":
        who = ", ".join(str(one) for one in (event.get("detail") or {}).get("who") or ()) or "a person"
        command = f"interplay approvals decide {run} {event.get('step')} approve"
        return [f"asks {who}" + (f", {until} at the latest" if until else ""), f"decide: {command}"]
    if event.get("what") == "signal":
        return [f"for the signal {event.get('name')}" + (f", {until} at the latest" if until else "")]
    return [f"goes on {until}" if until else "for a time"]

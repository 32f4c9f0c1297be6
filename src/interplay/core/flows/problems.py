"""What is wrong with a flow: every problem with its place, what was expected, and what may have been meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interplay.core.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file: lines and columns count from 1; 0 where a flow did not come from a file."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file or 'flow'}:{self.line}:{self.column}" if self.line else self.file or "flow"


@dataclass(frozen=True, slots=True)
class Problem:
    """`path` is the way to the value in the flow: `steps.reply.chat.model`."""

    code: str
    message: str
    path: str = ""
    place: Place = Place()
    expected: str | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        parts = [f"{self.place}: {self.message}"]
        if self.path:
            parts[0] = f"{self.place}: {self.path}: {self.message}"
        if self.expected:
            parts.append(f"Expected {self.expected.rstrip('.')}.")
        if self.suggestion:
            parts.append(self.suggestion)
        return " ".join(parts)


class InvalidFlow(InvalidInput):
    """A flow that cannot be accepted; `problems` holds all that was found, in the order of the file."""

    title = "The flow has problems"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.place.line, p.place.column, p.path)))
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(
            f"The flow has {count} {noun}: {self.problems[0] if self.problems else ''}",
            advice="`interplay check FILE` shows all of them with their places." if count > 1 else None,
        )


def render(problem: Problem, text: str) -> str:
    """The problem with the line that it is in and a caret under the place, for a terminal."""
    lines = text.splitlines()
    shown = [str(problem)]
    if 0 < problem.place.line <= len(lines):
        line = lines[problem.place.line - 1].replace("\t", " ")
        number = str(problem.place.line)
        shown += [f"  {number} | {line}", f"  {' ' * len(number)} | {' ' * (problem.place.column - 1)}^"]
    return "\n".join(shown)

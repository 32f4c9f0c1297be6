"""What is wrong with a flow: every problem with its place, what was expected, and what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from interplay.core.errors import InvalidInput

MOST_SHOWN: Final = 160  # characters of a line
MOST_SAID: Final = 800  # characters of a sentence
MODELS: Final = "models"  # the code of what is wrong with a connection or a model, which are no flow
T = TypeVar("T", str, str | None)


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
        said = self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."
        places = [self.path] if self.path else []
        if self.code != MODELS or self.place.line or self.place.file:
            places.insert(0, str(self.place))
        parts = [": ".join([*places, said])]
        if self.expected:
            parts.append(f"Expected {self.expected.rstrip('.')}.")
        if self.suggestion:
            parts.append(self.suggestion)
        return " ".join(parts)


def problem_at(
    code: str,
    message: str,
    path: Sequence[str | int],
    place: Place,
    expected: str | None = None,
    suggestion: str | None = None,
) -> Problem:
    """A problem whose sentences are short enough to be read, whatever stands in the flow."""
    shown = ".".join(str(part)[:MOST_SHOWN] for part in path)
    return Problem(code, _cut(message), shown, place, _cut(expected), _cut(suggestion))


def _cut(text: T) -> T:
    return text[:MOST_SAID] + "…" if isinstance(text, str) and len(text) > MOST_SAID else text


class InvalidFlow(InvalidInput):
    """A flow that cannot be accepted; `problems` holds all that was found, in the order of the file."""

    title = "The flow has problems"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(in_order(problems))
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
        number, column = str(problem.place.line), max(0, problem.place.column - 1)
        if len(line) > MOST_SHOWN:
            begin = max(0, min(column - MOST_SHOWN // 2, len(line) - MOST_SHOWN))
            line, column = line[begin : begin + MOST_SHOWN], column - begin
        shown += [f"  {number} | {line}", f"  {' ' * len(number)} | {' ' * column}^"]
    return "\n".join(shown)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, in the order of the file."""
    return sorted(set(problems), key=lambda p: (p.place.line, p.place.column, p.path, p.message))

"""What is wrong, as the API says it."""

from __future__ import annotations

from typing import NotRequired

from typing_extensions import TypedDict


class FlowProblem(TypedDict):
    """One problem of a flow, with its place."""

    code: str
    message: str
    path: str
    """The way to the value: `steps.reply.chat.model`."""
    expected: str | None
    suggestion: str | None
    line: int
    """Counts from 1; 0 where the flow did not come from a file."""
    column: int
    file: str


class ProblemDocument(TypedDict):
    """Every answer of 400 and above (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    where: NotRequired[str]
    """What was wrong, by its path or name."""
    advice: NotRequired[str]
    """What to do."""
    problems: NotRequired[list[FlowProblem]]
    """Of a flow that was refused: all its problems."""

"""The events of a run: those of its journal, each once and in order, and those that only live streams have.

A program tells them apart by `type`; type checkers narrow by it, too.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from interplay.contracts.http.answers.runs import Failure, Usage


class JournalEvent(TypedDict):
    """What every event of a journal has. Fields that hold nothing are left out of it."""

    seq: int
    """Counts from 1 without gaps within a run."""
    step: str | None
    """The step's key; None for events of the run."""
    attempt: int
    at: float | None
    """When it was committed, in seconds since the epoch."""


class RunStarted(JournalEvent):
    """The first event of a run."""

    type: Literal["run.started"]
    started_at: float
    forked_from: NotRequired[str]


class StepSucceeded(JournalEvent):
    """A step has a result."""

    type: Literal["step.succeeded"]
    output: NotRequired[Any]
    """Absent where it is null, or kept apart (`blob`)."""
    started_at: float
    seconds: float
    blob: NotRequired[tuple[str, int, str]]
    """Where a large result is kept: id, bytes, SHA-256."""
    usage: NotRequired[Usage]
    via: NotRequired[str]
    """`cache`, `fork`, `signal`, `decision`, `timer` or `default`; absent where it was done."""
    detail: NotRequired[dict[str, Any]]


class StepRetrying(JournalEvent):
    """An attempt failed, and there will be another."""

    type: Literal["step.retrying"]
    failure: Failure
    started_at: float
    seconds: float
    next_at: float
    """When the next attempt starts, in seconds since the epoch."""
    usage: NotRequired[Usage]


class StepFailed(JournalEvent):
    """A step has failed for good."""

    type: Literal["step.failed"]
    failure: Failure
    started_at: float
    seconds: float
    tolerated: bool
    """The run goes on without its value."""
    usage: NotRequired[Usage]


class StepSkipped(JournalEvent):
    """A step is not run."""

    type: Literal["step.skipped"]
    reason: NotRequired[str]
    """`when`: its condition was false; `needs`: what `because` names is absent."""
    because: NotRequired[str]


class StepCancelled(JournalEvent):
    """A step was no longer needed, or the run ended."""

    type: Literal["step.cancelled"]
    reason: NotRequired[str]


class StepWaiting(JournalEvent):
    """A step waits."""

    type: Literal["step.waiting"]
    what: Literal["timer", "signal", "approval"]
    name: NotRequired[str]
    until: NotRequired[float]
    """The deadline, in seconds since the epoch."""
    started_at: float
    detail: NotRequired[dict[str, Any]]
    """Of an approval: `who`, `quorum`, `show`, `fields`, `question`, `otherwise`."""


class StepProgressed(JournalEvent):
    """A loop has finished a turn."""

    type: Literal["step.progressed"]
    index: int
    """From 0."""
    value: NotRequired[Any]
    """What is carried on."""
    spent: NotRequired[Usage]


class StepExpanded(JournalEvent):
    """A step that runs another flow has pinned its version."""

    type: Literal["step.expanded"]
    version: str


class StepIntended(JournalEvent):
    """An effect is about to happen."""

    type: Literal["step.intended"]
    started_at: float
    idempotency_key: str


class RunDied(JournalEvent):
    """It took down too many workers; it can be re-driven."""

    type: Literal["run.died"]
    reason: NotRequired[str]


class RunRedriven(JournalEvent):
    """A dead run was given to the workers again."""

    type: Literal["run.redriven"]
    by: NotRequired[str]


class RunSucceeded(JournalEvent):
    """The last event of a run that succeeded."""

    type: Literal["run.succeeded"]
    seconds: float


class RunFailed(JournalEvent):
    """The last event of a run that failed."""

    type: Literal["run.failed"]
    failure: Failure
    step_key: NotRequired[str]
    """The step that it failed at."""


class RunCancelled(JournalEvent):
    """The last event of a run that was cancelled."""

    type: Literal["run.cancelled"]
    reason: NotRequired[str]


class StepStarted(TypedDict):
    """Live streams only: an attempt has started."""

    type: Literal["step.started"]
    step: str
    attempt: int


class StepDelta(TypedDict):
    """Live streams only: tokens as they are said."""

    type: Literal["step.delta"]
    step: str
    attempt: int
    text: str


class StepRestarted(TypedDict):
    """Live streams only: what was said of this step is void; it starts again."""

    type: Literal["step.restarted"]
    step: str


Event = (
    RunStarted
    | StepSucceeded
    | StepRetrying
    | StepFailed
    | StepSkipped
    | StepCancelled
    | StepWaiting
    | StepProgressed
    | StepExpanded
    | StepIntended
    | RunDied
    | RunRedriven
    | RunSucceeded
    | RunFailed
    | RunCancelled
)
StreamEvent = Event | StepStarted | StepDelta | StepRestarted


class EventPage(TypedDict):
    """Events in order."""

    items: list[Event]
    next: str | None
    """The `after` of the following page; None on the last."""

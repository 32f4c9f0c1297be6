"""Answers about runs."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

RunStatus = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "dead"]


class Usage(TypedDict):
    """What calls consumed, as the upstream counted. What is 0 is left out."""

    calls: NotRequired[int]
    input_tokens: NotRequired[int]
    output_tokens: NotRequired[int]
    cached_tokens: NotRequired[int]
    """Part of the input tokens, as are those of images and audio."""
    image_tokens: NotRequired[int]
    audio_tokens: NotRequired[int]
    reasoning_tokens: NotRequired[int]
    """Part of the output tokens."""
    usd: NotRequired[float]
    """US dollars; absent where no price is known, which is not 0."""


class Failure(TypedDict):
    """Why something failed."""

    code: str
    """One of those that `retry.on` names."""
    detail: str
    where: NotRequired[str]
    advice: NotRequired[str]
    retry_after: NotRequired[float]
    """Seconds that the upstream asks to be left alone."""


class RunError(TypedDict):
    """Why a run failed."""

    failure: Failure
    step: NotRequired[str | None]
    """The step that it failed at, if it was one."""


class RunSummary(TypedDict):
    """A run in a list: no payloads. Times are seconds since the epoch."""

    run: str
    """Its id, a UUID; later ones are greater."""
    flow: str
    version: str
    """The version of the flow that it is pinned to."""
    status: RunStatus
    pool: str
    """Which workers run it."""
    error: RunError | None
    created_at: float
    finished_at: float | None
    deadline_at: float | None
    takeovers: int
    """How often another worker had to take it over."""
    events: int
    """How many its journal has: the greatest `seq`."""
    cancel_requested: bool
    forked_from: str | None
    batch: str | None
    labels: dict[str, str]
    key: str | None
    """The key that started it; what its steps use counts on it."""


class Run(RunSummary):
    """A run as it stands."""

    inputs: Any
    output: Any
    """None until it has succeeded."""


class StepWait(TypedDict):
    """What a step waits for."""

    what: Literal["timer", "signal", "approval"]
    name: NotRequired[str]
    """Of a signal."""
    until: NotRequired[float]
    """The deadline, in seconds since the epoch."""
    since: float
    who: NotRequired[list[str]]
    """Who may decide; absent: anybody."""
    quorum: NotRequired[int]
    """How many people have to approve."""
    show: NotRequired[Any]
    question: NotRequired[str]
    otherwise: NotRequired[Any]
    """What counts when nobody comes in time."""


class RunStep(TypedDict):
    """One step as it went."""

    step: str
    """Its key: `reply`, or `better[2].draft` inside another step."""
    status: str
    """In the words of steps, and `waiting`."""
    started_at: float | None
    seconds: float
    attempts: int
    via: str | None
    """Where its result is from, when not from doing it: `cache`, `fork`, `signal`, `decision`, `timer`, `default`."""
    reason: str | None
    waits_for: StepWait | None
    usage: Usage | None
    output: Any
    """None where it is too large for a list: see `output_large`."""
    output_large: bool
    composite: bool
    """It is made of steps; its time is theirs."""


class RunFull(Run):
    """A run with its steps, where the time went and what it cost."""

    steps: list[RunStep]
    usage: Usage | None
    wall_seconds: float
    """From its start to its last step's end."""
    busy_seconds: float
    """All steps added up."""
    parallelism: float
    """Busy seconds by seconds in which at least one step ran."""
    critical_path: list[str]
    """The steps that made it last as long as it did."""


class RunPage(TypedDict):
    """Runs, newest first."""

    items: list[RunSummary]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class Explanation(TypedDict):
    """Why a step is as it is."""

    step: str
    because: list[str]
    """Sentences."""


class SignalLeft(TypedDict):
    """A signal that was left for a run."""

    run: str
    signal: str
    new: bool
    """False: one with this `Idempotency-Key` was there already."""


class ExpectedCost(TypedDict):
    """What steps took and used the last time."""

    seconds: float
    usage: Usage


class ForkPlan(TypedDict):
    """What a fork keeps, and what it runs again."""

    run: str | None
    """The run that was made; None for a preview."""
    rerun: list[str]
    kept: list[str]
    expected: ExpectedCost


class ReplayReport(TypedDict):
    """Whether a run ends the same when it is run again from its tape."""

    equal: bool
    """The same end, and the same bytes of output."""
    from_tape: int
    """How many results came from the tape."""
    computed: int
    """How many were computed again."""
    differences: list[str]
    output: Any

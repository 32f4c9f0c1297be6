"""Where the time of a run went: each step's span, the critical path, and the parallelism reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from interplay.core.flows.plan import Plan, ScopePlan
from interplay.core.models.usage import Usage
from interplay.core.runs.events import (
    Event,
    RunStarted,
    StepCancelled,
    StepExpanded,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepSucceeded,
    StepWaiting,
)
from interplay.core.runs.waiting import in_words

_FREE: Final = frozenset({"cache", "fork"})  # results that were there already took no time


@dataclass(slots=True)
class StepSpan:
    """One step as it went. Times in seconds since the epoch; `status` in the words of StepStatus."""

    key: str
    status: str = "running"
    started_at: float | None = None
    finished_at: float | None = None
    attempts: int = 1
    via: str = ""
    usage: Usage | None = None
    reason: str | None = None
    wait: StepWaiting | None = None  # what it waits for now
    inner: bool = False  # made of steps: its time is theirs

    @property
    def seconds(self) -> float:
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return max(0.0, self.finished_at - self.started_at)


@dataclass(slots=True)
class Timeline:
    """`wall` is the time from the run's start to its last step's end; `busy` the sum of all leaf steps.

    `parallelism` is busy ÷ the time in which at least one leaf step ran or waited: 1.0 means one after the other.
    """

    spans: list[StepSpan] = field(default_factory=list)
    started_at: float = 0.0
    wall: float = 0.0
    busy: float = 0.0
    parallelism: float = 1.0
    critical_path: list[str] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


def timeline(plan: Plan | None, events: Iterable[Event]) -> Timeline:
    """Folds a journal into spans; with the plan it also finds the critical path."""
    spans: dict[str, StepSpan] = {}
    result = Timeline()
    for event in events:
        if isinstance(event.body, RunStarted):
            result.started_at = event.body.started_at
        elif event.step_key is not None:
            span = spans.setdefault(event.step_key, StepSpan(event.step_key))
            _take(span, event)
        elif event.body.kind.terminal:
            _end_waits(spans.values())
    for key in list(spans):
        _mark_outer(spans, key)
    result.spans = list(spans.values())
    leaves = [span for span in result.spans if not span.inner and span.seconds > 0 and span.via not in _FREE]
    result.busy = sum(span.seconds for span in leaves)
    covered = _covered(leaves)
    result.parallelism = result.busy / covered if covered else 1.0
    ends = [span.finished_at for span in result.spans if span.finished_at is not None]
    result.wall = max(0.0, max(ends, default=result.started_at) - result.started_at)
    for span in result.spans:
        if span.usage is not None and not span.inner:
            result.usage = result.usage + span.usage
    if plan is not None:
        result.critical_path = _critical_path(plan.root, spans)
    return result


def _take(span: StepSpan, event: Event) -> None:
    body = event.body
    span.attempts = max(span.attempts, event.attempt)
    if span.wait is not None:
        span.wait = span.reason = None
    match body:
        case StepSucceeded() | StepFailed() | StepRetrying():
            span.started_at = body.started_at if span.started_at is None else span.started_at
            span.finished_at = body.started_at + body.seconds
            if body.usage is not None:
                span.usage = body.usage if span.usage is None else span.usage + body.usage
            if isinstance(body, StepSucceeded):
                span.status, span.via = "succeeded", body.via
            else:
                span.status = "failed" if isinstance(body, StepFailed) else "running"
                span.reason = f"{body.failure.code}: {body.failure.detail}"
        case StepSkipped():
            span.status = "skipped"
            span.reason = "its `when` was false" if body.reason == "when" else f"{body.because} is absent"
        case StepCancelled():
            span.status, span.reason = "cancelled", body.reason
        case StepWaiting():
            span.started_at, span.status, span.wait = body.started_at, "waiting", body
            span.reason = f"for {in_words(body)}"
        case StepExpanded():
            span.inner = True
        case _:
            pass


def _end_waits(spans: Iterable[StepSpan]) -> None:
    """Nothing waits any more when its run has ended."""
    for span in spans:
        if span.wait is not None:
            span.status, span.reason, span.wait = "cancelled", "the run ended", None


def _mark_outer(spans: Mapping[str, StepSpan], key: str) -> None:
    for end in (i for i, letter in enumerate(key) if letter in ".["):
        outer = spans.get(key[:end])
        if outer is not None:
            outer.inner = True


def _covered(spans: list[StepSpan]) -> float:
    """Seconds in which at least one of the spans ran."""
    total, until = 0.0, float("-inf")
    for span in sorted(spans, key=lambda s: s.started_at or 0.0):
        begin, end = span.started_at or 0.0, span.finished_at or 0.0
        if end > until:
            total += end - max(begin, until)
            until = end
    return total


def _critical_path(scope: ScopePlan, spans: Mapping[str, StepSpan]) -> list[str]:
    """From the step that ended last back along the need that ended last, to a step that needed nothing."""
    ended = [key for key in scope.steps if key in spans and spans[key].finished_at is not None]
    if not ended:
        return []
    key = max(ended, key=lambda k: spans[k].finished_at or 0.0)
    path = [key]
    while True:
        needs = [n for n in scope.steps[key].needs if n in spans and spans[n].finished_at is not None]
        if not needs:
            return path[::-1]
        key = max(needs, key=lambda k: spans[k].finished_at or 0.0)
        path.append(key)

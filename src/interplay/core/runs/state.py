"""The parts of a run's state: steps and the scopes that they live in. `machine.py` changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interplay.core.failures import Failure
from interplay.core.flows.plan import ABSENT, ScopePlan, StepPlan
from interplay.core.models.usage import Usage
from interplay.core.runs.events import BlobRef, StepIntended, StepWaiting
from interplay.core.runs.status import StepStatus


class ScopeNames(dict[str, Any]):
    """The values that a scope's expressions see; what is not here is looked up in the scope around it."""

    __slots__ = ("_outer",)

    def __init__(self, outer: ScopeNames | None, own: dict[str, Any]) -> None:
        super().__init__(own)
        self._outer = outer

    def __missing__(self, name: str) -> Any:
        if self._outer is None:
            return ABSENT
        return self._outer[name]


@dataclass(slots=True, eq=False)
class StepState:
    """One step of one run. `key` is its path in the journal: `pages[3].get`."""

    plan: StepPlan
    key: str
    scope: ScopeState
    stream: bool
    status: StepStatus = StepStatus.PENDING
    attempt: int = 1
    output: Any = ABSENT
    blob: BlobRef | None = None
    failure: Failure | None = None
    tolerated: bool = False
    via: str = ""
    usage: Usage | None = None
    started_at: float | None = None  # of the first attempt
    next_at: float | None = None  # when the next attempt may start
    wait: StepWaiting | None = None
    intended: StepIntended | None = None
    inner: Composite | None = None
    in_flight: bool = False  # its result is on the way into the journal

    @property
    def absent(self) -> bool:
        """Settled without a value."""
        return self.status.settled and self.status is not StepStatus.SUCCEEDED


@dataclass(slots=True, eq=False)
class ScopeState:
    """Steps that see each other. `owner` is the composing step around it, None for the flow itself."""

    plan: ScopePlan
    prefix: str
    names: ScopeNames
    owner: StepState | None
    index: int = 0  # the item's or turn's number
    steps: dict[str, StepState] = field(default_factory=dict)
    unsettled: int = 0
    failed: StepState | None = None
    closed: bool = False


@dataclass(slots=True, eq=False)
class Composite:
    """What a composing step has under way. `turn` counts a loop's turns and a map's opened items."""

    open: dict[int, ScopeState] = field(default_factory=dict)
    turn: int = 0
    over: list[Any] = field(default_factory=list)
    concurrency: int = 0
    results: dict[int, Any] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    carry: Any = None
    deadline: float | None = None
    judging: StepState | None = None
    touched: list[ScopeState] = field(default_factory=list)  # scopes in which something settled
    finished: list[StepState] = field(default_factory=list)  # branches in the order they succeeded

"""A flow made ready to run: every expression compiled, every dependency known.

The checker produces a `Plan` (`compile.py`), the engine executes it (`core.runs.machine`). A plan is
immutable, holds no state of a run, and is shared by all runs of a version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from interplay.core.flows.ir import Flow, Policy

Names = Mapping[str, Any]


class _Absent:
    """The value of a step that was skipped or failed: there is nothing there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


class Evaluable(Protocol):
    """Something compiled that gives a JSON value from the values of the names that it refers to.

    `names` maps a root name (`inputs`, `run`, a step's id, `carry`, an item's name, `index`) to its
    JSON value, or to `ABSENT`. Raises `core.failures.StepFailure` with code `expression` when
    it cannot be computed.
    """

    @property
    def roots(self) -> frozenset[str]:
        """The root names that the value depends on."""
        ...

    def evaluate(self, names: Names) -> Any: ...


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step, ready to run.

    `values`: the kind's fields, each compiled; evaluated together they are the arguments of a leaf
    step, with absent fields left out. `needs`: ids in the same scope that must settle first
    (references and `after`). `tolerates`: those of them whose absence is fine, because each reference
    to them stands inside `first()`, `has()` or after `.?`.
    """

    id: str
    kind: str
    policy: Policy
    values: Mapping[str, Evaluable] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    tolerates: frozenset[str] = frozenset()
    when: Evaluable | None = None
    limit_key: Evaluable | None = None
    fallback: Evaluable | None = None  # `on_error: {use: …}`
    composite: Composite | None = None


@dataclass(frozen=True, slots=True)
class ScopePlan:
    """Steps that see each other: a flow's, a map item's, one turn of a loop, the branches of an ensemble."""

    steps: Mapping[str, StepPlan]
    output: Evaluable | None = None
    dependents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # id → ids that need it


@dataclass(frozen=True, slots=True)
class MapPlan:
    """`over` is the list; each item runs `body` with `as_name` and `index` bound.

    Gives `{"items": [...], "failed": [{"index", "error"}]}`.
    """

    over: Evaluable
    as_name: str
    body: ScopePlan  # body.output is the item's result
    concurrency: Evaluable | None
    on_item_error: Literal["fail", "null", "drop"] = "fail"


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """Runs `body` with `carry` bound, then `update` gives the next carry and `until` asks about it.

    `update` sees the outer names, `carry` (the one before) and the inner steps; `until` sees the outer
    names and the new `carry`. Gives `{"carry": …, "iterations": n}`.
    """

    carry: Evaluable
    body: ScopePlan
    update: Evaluable
    until: Evaluable | None
    max: int


@dataclass(frozen=True, slots=True)
class BranchesPlan:
    """Ensemble, cascade and race: alternatives that do not see each other, in the order written.

    With `models:` each model is a branch whose id is the model's alias and whose step is a chat.
    `answer` names the field of a branch's result that is combined (ensemble). `accept` is asked over
    the fields of the answer at hand (cascade): its names are the fields of the branch's output
    (missing ones ABSENT) over the outer names.

    An ensemble gives `{"winner", "answers": {id: value}, "agreement": 0..1}`, a cascade
    `{"tier": id, "output": …}` plus, where the branches are chats by `models`, that output's own
    fields; a race `{"winner": id, "output": …}`.
    """

    kind: Literal["ensemble", "cascade", "race"]
    body: ScopePlan
    answer: str | None = None
    combine: Literal["vote", "mean", "judge", "rank_fuse", "concat"] = "vote"
    quorum: int | None = None
    stop_early: bool = False
    accept: Evaluable | None = None
    judge: StepPlan | None = None  # a chat step; sees `answers`; its `text`/`json.winner` names the winner


@dataclass(frozen=True, slots=True)
class SubflowPlan:
    """Another flow by name and channel or version; its `inputs` are `values["inputs"]`.

    Which version that is gets journaled when the step starts, so a run keeps it for life.
    """

    name: str
    channel: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """A chat model that calls tools, turn after turn; the step's `values` are what it is asked.

    In the journal a turn is `agent[2].ask` and `agent[2].call0`, `agent[2].call1`, …; the first one also
    has `agent[0].tools`, which lists the tools. Gives `{"text", "json", "turns", "transcript"}`.
    """

    max_turns: int


Composite = MapPlan | LoopPlan | BranchesPlan | SubflowPlan | AgentPlan


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole flow version. `version` is the hex content hash of the canonical IR."""

    flow: Flow
    version: str
    root: ScopePlan  # root.output is the flow's output
    deadline: float  # seconds
    max_steps: int

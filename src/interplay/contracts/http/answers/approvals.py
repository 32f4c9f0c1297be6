"""Answers about what waits for people."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class Approval(TypedDict):
    """What waits for a person. Times are seconds since the epoch."""

    run: str
    flow: str
    step: str
    due_at: float | None
    """When `otherwise` counts; None: it waits without end."""
    since: float
    who: NotRequired[list[str] | None]
    """Who may decide; None: anybody."""
    quorum: NotRequired[int]
    """How many people have to approve."""
    show: NotRequired[Any]
    """What they are shown."""
    fields: NotRequired[Any]
    """What they are asked for beside the decision."""
    question: NotRequired[str]
    otherwise: NotRequired[Any]
    """`approve` or `reject`: what counts when nobody comes in time."""
    effect: NotRequired[bool]
    """It is about an effect whose outcome is not known."""


class ApprovalPage(TypedDict):
    """Approvals, nearest deadline first."""

    items: list[Approval]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class Decided(TypedDict):
    """A decision that was left for a run."""

    run: str
    step: str
    decision: Literal["approve", "reject"]
    new: bool
    """False: this person had decided the same already."""

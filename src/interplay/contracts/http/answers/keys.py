"""Answers about keys, projects and budgets."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from interplay.contracts.http.answers.models import Limits

Period = Literal["day", "month", "total"]


class BudgetAmount(TypedDict):
    """The most US dollars in a period."""

    usd: float
    period: Period
    """A day or month of UTC, or ever."""


class Key(TypedDict):
    """A key as it may be seen: never its secret. Times are seconds since the epoch."""

    key: str
    """Its id, a UUID."""
    project: int
    name: str
    hint: str
    """How its secret begins."""
    state: Literal["valid", "over", "revoked"]
    scopes: list[str]
    models: list[str] | None
    """Names or globs that it may call; None: all."""
    flows: list[str] | None
    """Names or globs that it may run; None: all."""
    limits: Limits
    budgets: list[BudgetAmount]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    former_until: float | None
    """Until when the secret before the last rotation is valid."""
    metadata: dict[str, str]


class KeyWithSecret(Key):
    """A key that was made or rotated."""

    secret: str
    """Shown in this answer only."""


class KeyPage(TypedDict):
    """Keys, oldest first."""

    items: list[Key]
    next: str | None
    """The `cursor` of the following page; None on the last."""


class Project(TypedDict):
    """A project."""

    project: int
    name: str
    limits: Limits
    """What all its keys share."""
    budgets: list[BudgetAmount]
    created_at: float
    """Seconds since the epoch."""


class ProjectPage(TypedDict):
    """All projects."""

    items: list[Project]
    next: None


class BudgetPut(BudgetAmount):
    """A budget that was set."""

    subject: str
    """`organisation`, `project`, or a key's id."""


class Budget(BudgetPut):
    """A budget and what is left of it."""

    leased: float
    """US dollars that are spent, or that servers have taken in advance to spend."""


class BudgetPage(TypedDict):
    """All budgets that the caller may see."""

    items: list[Budget]
    next: None
